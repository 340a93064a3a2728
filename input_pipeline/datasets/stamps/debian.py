"""Downloads Debian packages of data: pinned, verified, without root."""

import errno
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from avl_jax import logs
from avl_jax.errors import UserError


class FetchError(UserError):
  """A package that cannot be downloaded or unpacked."""


def fetch(
  package: str, version: str, cache: str | os.PathLike, *, sha256: str
) -> pathlib.Path:
  """Downloads and unpacks a Debian package, unless this is done already.

  Needs apt and dpkg-deb, but not root. If the system's package lists lack the
  version, separate lists are downloaded into the cache. The .deb stays in the
  cache; a .deb put there by hand saves the download.

  Args:
    package: name of the package.
    version: the one version that is accepted.
    cache: folder for the .deb and the unpacked tree; created if missing.
    sha256: of the .deb, in hexadecimal.

  Returns:
    The folder with the package's `usr/...`. The folder is complete: it gets
    its name only after the .deb is verified and unpacked.

  Raises:
    FetchError: no apt, no network, another version, a wrong checksum, or a
      full disk.
  """
  cache = pathlib.Path(cache).absolute()
  folder = cache / f'{package}_{version}'
  if folder.is_dir():
    return folder
  deb = cache / f'{package}_{version}.deb'
  try:
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.fetch-', dir=cache) as temporary:
      scratch = pathlib.Path(temporary)
      if deb.exists():
        _verify(deb, sha256)
      else:
        _download(package, version, sha256, deb, scratch)
      _run('dpkg-deb', '-x', deb, scratch / 'tree', cache=cache)
      _take_name(scratch / 'tree', folder)
  except OSError as error:
    if error.errno == errno.ENOSPC:
      raise _disk_full(cache) from error
    raise
  except subprocess.CalledProcessError as error:
    raise FetchError(
      f'{deb} cannot be unpacked into {cache}. Delete the file and run the '
      f'same command again. dpkg-deb said: {_last_line(error)}'
    ) from error
  return folder


def _download(package, version, sha256, deb, scratch):
  """Downloads the pinned version to `deb` and verifies it."""
  cache = deb.parent
  by_hand = (
    f'Put the .deb at {deb} by hand, or set --config.prepare.media_dir=FOLDER '
    'to the folder of its unpacked tree.'
  )
  # Without it, root's apt warns that it cannot drop privileges in the folder.
  options = ['-q', '-o', 'APT::Sandbox::User=root']
  records = _records(package, options, cache)
  if version not in records:
    options += _private_lists(cache / 'apt', options, by_hand)
    records = _records(package, options, cache)
  if version not in records:
    offered = ' and '.join(records) or 'no version'
    raise FetchError(
      f'{package}: Expected version {version}, but the package sources of this '
      f'system offer {offered}. {by_hand}'
    )
  size, listed = records[version]
  if listed != sha256:
    raise FetchError(
      f'{package} {version}: The package sources of this system list the '
      f'SHA-256 {listed}. Expected {sha256}. {by_hand}'
    )
  try:
    _run(
      *('apt-get', *options, 'download', f'{package}={version}'),
      cache=cache,
      cwd=scratch,
      progress=_Progress(package, scratch, size),
    )
    (downloaded,) = scratch.glob('*.deb')
  except (subprocess.CalledProcessError, ValueError) as error:
    raise FetchError(
      f'{package} {version}: The download failed. Check the network and run '
      f'the same command again. {by_hand} apt-get said: {_last_line(error)}'
    ) from error
  _verify(downloaded, sha256)
  os.replace(downloaded, deb)


def _records(package, options, cache) -> dict[str, tuple[int, str]]:
  """Returns version -> (bytes, SHA-256) of the versions known to apt."""
  try:
    text = _run('apt-cache', *options, 'show', package, cache=cache)
  except subprocess.CalledProcessError:  # The package is unknown.
    return {}
  stanzas = [
    dict(re.findall(r'^(Version|Size|SHA256): (\S+)$', stanza, re.MULTILINE))
    for stanza in text.split('\n\n')
  ]
  return {
    stanza['Version']: (int(stanza['Size']), stanza['SHA256'])
    for stanza in stanzas
    if len(stanza) == 3  # An installed package's record has no checksum.
  }


def _private_lists(
  state: pathlib.Path, options: list[str], by_hand: str
) -> list[str]:
  """Downloads package lists into `state`; returns apt's options for them."""
  private = ['-o', f'Dir::State={state}', '-o', f'Dir::Cache={state}']
  private += ['-o', f'Dir::State::Lists={state}/lists']
  (state / 'lists' / 'partial').mkdir(parents=True, exist_ok=True)
  (state / 'archives' / 'partial').mkdir(parents=True, exist_ok=True)
  logs.write('Downloading package lists ...', sys.stderr)
  # By default, apt-get succeeds even if it cannot reach the lists.
  strict = ['-o', 'APT::Update::Error-Mode=any']
  try:
    _run(
      *('apt-get', *options, *private, *strict, 'update'), cache=state.parent
    )
  except subprocess.CalledProcessError as error:
    raise FetchError(
      'The package lists cannot be downloaded. Check the network and run the '
      f'same command again. {by_hand} apt-get said: {_last_line(error)}'
    ) from error
  return private


def _run(
  *command: str | os.PathLike,
  cache: pathlib.Path,
  progress: Callable[[], None] | None = None,
  **options: Any,
) -> str:
  """Runs a command, with `progress()` each second; returns its output."""
  try:
    process = subprocess.Popen(
      [str(word) for word in command],
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      env={**os.environ, 'LC_ALL': 'C'},
      **options,
    )
  except FileNotFoundError as error:
    raise FetchError(
      f'This system has no {command[0]}. Unpack the Debian package on another '
      'one and set --config.prepare.media_dir=FOLDER to the unpacked folder.'
    ) from error
  with process:
    while True:
      try:
        output, errors = process.communicate(timeout=1 if progress else None)
        break
      except subprocess.TimeoutExpired:
        assert progress is not None  # else there is no timeout
        progress()
  if process.returncode and os.strerror(errno.ENOSPC) in errors:
    raise _disk_full(cache)
  if process.returncode:
    raise subprocess.CalledProcessError(
      process.returncode, command, output, errors
    )
  return output


class _Progress:
  """Prints the progress of a download: bytes, rate and remaining time."""

  def __init__(self, package: str, scratch: pathlib.Path, size: int):
    self._package, self._scratch, self._size = package, scratch, size
    self._start = time.monotonic()

  def __call__(self):
    done = sum(path.stat().st_size for path in self._scratch.glob('*.deb'))
    rate = done / (time.monotonic() - self._start)
    left = f'{(self._size - done) / rate:.0f} s left' if rate else 'waiting'
    logs.write(
      f'{self._package}: {done / 1e6:.0f} of {self._size / 1e6:.0f} MB, '
      f'{rate / 1e6:.1f} MB/s, {left}',
      sys.stderr,
    )


def _verify(deb: pathlib.Path, sha256: str):
  with deb.open('rb') as file:
    found = hashlib.file_digest(file, 'sha256').hexdigest()
  if found != sha256:
    raise FetchError(
      f'{deb}: The SHA-256 is {found}. Expected {sha256}. Delete the file and '
      'run the same command again.'
    )


def _take_name(tree: pathlib.Path, folder: pathlib.Path):
  """Renames the tree, unless another process has done the same before."""
  try:
    os.replace(tree, folder)
  except OSError:
    if not folder.is_dir():
      raise


def _disk_full(cache: pathlib.Path) -> FetchError:
  return FetchError(
    f'There is no space left on the disk of {cache}. Free some space or choose '
    'another data_dir.'
  )


def _last_line(error: Exception) -> str:
  text = (getattr(error, 'stderr', None) or '').strip()
  return text.splitlines()[-1] if text else 'nothing'
