"""Downloads of Debian packages, with a tiny package and fake apt commands."""

import hashlib
import os
import pathlib
import shutil
import subprocess

import pytest

from input_pipeline.datasets.stamps import debian

pytestmark = pytest.mark.skipif(
  not shutil.which('dpkg-deb'), reason='needs dpkg-deb'
)
NAME, VERSION = 'tiny-stamps', '1.0-1'


class Apt:
  """Fake apt-get and apt-cache that serve one small package."""

  def __init__(self, root: pathlib.Path):
    self.root, self.log = root, root / 'log'
    self.deb = root / 'tiny.deb'
    (root / 'package' / 'DEBIAN').mkdir(parents=True)
    (root / 'package' / 'DEBIAN' / 'control').write_text(
      f'Package: {NAME}\nVersion: {VERSION}\nArchitecture: all\n'
      'Maintainer: nobody <nobody@localhost>\nDescription: a test\n'
    )
    (root / 'package' / 'usr').mkdir()
    (root / 'package' / 'usr' / 'cat.txt').write_text('un chat')
    subprocess.run(
      ['dpkg-deb', '--root-owner-group', '-b', root / 'package', self.deb],
      check=True,
      capture_output=True,
    )
    self.sha256 = hashlib.sha256(self.deb.read_bytes()).hexdigest()
    self.offer()
    self.script('apt-cache', f'cat {root}/records')
    self.script('apt-get', f'case "$*" in *download*) cp {self.deb} .;; esac')

  def offer(self, version: str = VERSION, sha256: str | None = None):
    (self.root / 'records').write_text(
      f'Package: {NAME}\nVersion: {version}\n'
      f'Size: {self.deb.stat().st_size}\nSHA256: {sha256 or self.sha256}\n\n'
    )

  def script(self, name: str, body: str):
    path = self.root / 'bin' / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\necho {name} "$@" >> {self.log}\n{body}\n')
    path.chmod(0o755)

  def calls(self) -> str:
    return self.log.read_text() if self.log.exists() else ''

  def fetch(self, sha256: str | None = None) -> pathlib.Path:
    cache = self.root / 'cache'
    return debian.fetch(NAME, VERSION, cache, sha256=sha256 or self.sha256)

  def left(self) -> list[str]:
    """Files in the cache after a failed run, except apt's lists."""
    return sorted({*os.listdir(self.root / 'cache')} - {'apt'})


@pytest.fixture
def apt(tmp_path, monkeypatch):
  monkeypatch.setenv('PATH', f'{tmp_path / "bin"}:{os.environ["PATH"]}')
  return Apt(tmp_path)


def test_fetches_once(apt):
  folder = apt.fetch()
  assert (folder / 'usr' / 'cat.txt').read_text() == 'un chat'
  assert f'{NAME}={VERSION}' in apt.calls()
  assert 'update' not in apt.calls()
  assert apt.left() == [folder.name, f'{folder.name}.deb']
  apt.log.unlink()
  assert apt.fetch() == folder
  assert apt.calls() == ''


def test_a_deb_in_the_cache_needs_no_apt(apt):
  (apt.root / 'cache').mkdir()
  deb = apt.root / 'cache' / f'{NAME}_{VERSION}.deb'
  shutil.copy(apt.deb, deb)
  assert (apt.fetch() / 'usr' / 'cat.txt').exists()
  assert apt.calls() == ''


def test_a_damaged_deb_in_the_cache_is_refused(apt):
  (apt.root / 'cache').mkdir()
  deb = apt.root / 'cache' / f'{NAME}_{VERSION}.deb'
  deb.write_bytes(apt.deb.read_bytes()[:-1])
  with pytest.raises(debian.FetchError, match=r'\.deb: The SHA-256 .* Delete'):
    apt.fetch()
  assert apt.left() == [deb.name]


def test_downloads_lists_if_the_system_has_none(apt):
  records = (apt.root / 'records').read_text()
  (apt.root / 'records').write_text('')
  apt.script(
    'apt-get',
    f'case "$*" in *update) echo "{records}" > {apt.root}/records;;\n'
    f'*download*) cp {apt.deb} .;; esac',
  )
  assert (apt.fetch() / 'usr' / 'cat.txt').exists()
  update, download = [
    line for line in apt.calls().splitlines() if line.startswith('apt-get')
  ]
  for line in (update, download):
    assert f'Dir::State={apt.root}/cache/apt' in line


def test_another_checksum_in_the_lists_is_refused(apt):
  apt.offer(sha256='0' * 64)
  with pytest.raises(debian.FetchError, match=f'0000. Expected {apt.sha256}'):
    apt.fetch()
  assert apt.left() == []
  assert 'download' not in apt.calls()


def test_a_file_with_another_checksum_is_refused(apt):
  apt.script('apt-get', 'echo other > tiny.deb')
  with pytest.raises(debian.FetchError, match=f'Expected {apt.sha256}'):
    apt.fetch()
  assert apt.left() == []


def test_another_version_is_named(apt):
  apt.offer(version='2.0-1')
  with pytest.raises(
    debian.FetchError, match=r'Expected version 1\.0-1.* offer 2\.0-1\. Put'
  ):
    apt.fetch()
  assert apt.left() == []


def test_no_network(apt):
  apt.script('apt-get', 'echo "E: Could not connect" >&2; exit 100')
  with pytest.raises(
    debian.FetchError, match=r'download failed\. Check the network.*not connect'
  ):
    apt.fetch()
  (apt.root / 'records').write_text('')
  with pytest.raises(
    debian.FetchError,
    match=r'package lists cannot.*Check the network.*not connect',
  ):
    apt.fetch()
  assert apt.left() == []


def test_no_apt(apt, monkeypatch):
  monkeypatch.setenv('PATH', str(apt.root))
  with pytest.raises(debian.FetchError, match=r'has no apt-cache.*media_dir'):
    apt.fetch()
  assert apt.left() == []


def test_an_interrupted_unpacking_is_repeated(apt):
  real = shutil.which('dpkg-deb')
  # It unpacks everything, then dies before it reports success.
  apt.script('dpkg-deb', f'{real} "$@"; kill -9 $$')
  with pytest.raises(debian.FetchError, match='cannot be unpacked'):
    apt.fetch()
  assert apt.left() == [f'{NAME}_{VERSION}.deb']
  (apt.root / 'bin' / 'dpkg-deb').unlink()
  assert (apt.fetch() / 'usr' / 'cat.txt').exists()


def test_a_full_disk_is_named(apt):
  apt.script('dpkg-deb', 'echo "tar: No space left on device" >&2; exit 2')
  with pytest.raises(debian.FetchError, match=r'no space left.*cache\. Free'):
    apt.fetch()
  assert apt.left() == [f'{NAME}_{VERSION}.deb']


def test_progress_is_printed(apt, capfd):
  apt.script(
    'apt-get',
    f'case "$*" in *download*) cp {apt.deb} .; sleep 1.3;; esac',
  )
  apt.fetch()
  assert f'{NAME}: 0 of 0 MB, 0.0 MB/s, 0 s left' in capfd.readouterr().err
