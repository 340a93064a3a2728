"""Damaged files of every container and codec: a result or a clean error.

A child process reads the files, so that a crash of a library is seen as one,
with the file and the seed that reproduce it:

  python -m tests.helpers.damaged_reader FOLDER SEED SEED+1
"""

import collections
import json
import pathlib
import subprocess
import sys

import av
import pytest

from avl_jax.features import Status, formats
from tests.helpers import corpus

SEEDS = 3  # of each file, in the ordinary suite
# Of each way: what one function may return at most. A damaged time makes a
# pause of `containers.LONGEST_PAUSE`, perhaps several, or a late start.
MOST = {
  'sound': 3600 * 16_000,
  'bytes': 3600 * 16_000,
  'piece of sound': 8000,
  'film': 24 * 3600 * 4,
  'piece of film': 2,
  'image': 10**8,
}
REASONS = {str(status) for status in Status} - {'ok', 'timed out', 'missing'}
# (file, seed) that went wrong before: a stream that begins in the middle, a
# decoder that cannot be opened.
REGRESSIONS = [('flv_mp3lame.flv', 11), ('_adpcm_ima_wav.wav', 66)]


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.mktemp('corpus')
  corpus.write(folder)
  return folder


def read(folder: pathlib.Path, first: int, last: int) -> list[dict]:
  """What a child found in each file with each seed; fails if it ended."""
  command = [sys.executable, '-m', 'tests.helpers.damaged_reader']
  child = subprocess.run(
    [*command, str(folder), str(first), str(last)],
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
    check=False,
  )
  lines = [json.loads(line) for line in child.stdout.splitlines()]
  assert lines, 'Nothing was read.'
  assert not child.returncode, f'{lines[-1]} ended the process: {child}'
  return [line for line in lines if 'found' in line]


def check(lines: list[dict]) -> collections.Counter:
  """Fails for a result that is neither bounded nor a reason; counts."""
  counts = collections.Counter()
  for line in lines:
    for way, found in line['found'].items():
      if isinstance(found, str):
        assert found in REASONS, (line['file'], line['seed'], found)
      else:
        assert found[0] <= MOST[way], line
      counts[found if isinstance(found, str) else 'ok'] += 1
  return counts


def test_the_corpus_has_every_format_and_codec(folder):
  codecs, containers = set(), set()
  for path in folder.iterdir():
    assert path.stat().st_size < 65_000, path
    if path.name.startswith('picture'):
      continue
    with av.open(str(path)) as container:
      containers |= set(container.format.name.split(','))
      for stream in container.streams:
        codecs.add(stream.codec_context.codec.canonical_name)
  read_codecs = {*formats.VIDEO_CODECS, *formats.AUDIO_CODECS}
  assert read_codecs - codecs == corpus.LEFT_OUT
  assert codecs - read_codecs == {'gsm_ms'}  # libsndfile reads it.
  assert {*formats.VIDEO_FORMATS, *formats.AUDIO_FORMATS} <= containers
  for codec in corpus.LEFT_OUT:
    with pytest.raises(av.codec.codec.UnknownCodecError):
      av.Codec(codec, 'w')
  kinds = {path.suffix[1:].upper() for path in folder.glob('picture*')}
  assert kinds == set(formats.IMAGE_FORMATS)


def test_whole_files_are_read(folder):
  lines = read(folder, -1, 0)
  assert len(lines) == len(list(folder.iterdir()))
  for line in lines:
    name, found = line['file'], line['found']
    picture, _, rest = name.partition('_')
    if name.startswith('picture'):
      assert found == {'image': [48, 64, 3]}
      continue
    has_picture = rest and picture and not name.startswith('soundfile')
    if has_picture:
      assert found['film'][0] in (1, 2, 4, 5), name
    if not name.endswith(('amr', 'vob', 'm2ts')):
      assert 5000 < found['sound'][0] < 17_000, name
    assert found['sound'] == found['bytes']


def test_damaged_files_are_read_or_refused(folder):
  counts = check(read(folder, 0, SEEDS))
  # Some of each kind, or the damage would be too little or too much.
  assert counts['ok'] > 300
  assert counts['unreadable'] > 100


@pytest.mark.parametrize(('name', 'seed'), REGRESSIONS)
def test_what_went_wrong_before(folder, tmp_path, name, seed):
  (tmp_path / name).write_bytes((folder / name).read_bytes())
  check(read(tmp_path, seed, seed + 1))


@pytest.mark.slow
@pytest.mark.parametrize('first', range(1000, 1400, 100))
def test_many_damaged_files(folder, first):
  counts = check(read(folder, first, first + 100))
  assert counts['ok'] > 10_000
