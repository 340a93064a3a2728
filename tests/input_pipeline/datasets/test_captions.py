"""Captions of videos: values, problems, and when the index is made again."""

import fcntl
import json
import os
import pickle
import random
import shutil

import numpy as np
import pytest

import input_pipeline
from avl_jax import logs, torch_files
from avl_jax.errors import UserError
from input_pipeline.datasets.videos import caption_index
from input_pipeline.datasets.videos.captions import Captions
from tests.helpers import howto100m_files


def _write(folder, captions, kind='pickle'):
  path = folder / f'caption.{kind}'
  dump = pickle.dumps if kind == 'pickle' else lambda v: json.dumps(v).encode()
  path.write_bytes(dump(captions))
  return path


def _open(folder):
  return Captions(folder, folder / 'indices')


def _lists(features):
  """start, end, text of a record."""
  starts, ends = features['caption_starts'], features['caption_ends']
  assert starts.dtype == ends.dtype == np.float64
  return starts.tolist(), ends.tolist(), features['captions']


@pytest.mark.parametrize('kind', ['pickle', 'json'])
def test_captions_are_those_of_the_file(tmp_path, kind):
  rng = random.Random(0)
  captions = {}
  for i in range(1200):
    starts = [rng.uniform(0, 400) for _ in range(i % 5)]
    captions[f'v{i}é'] = {
      'start': starts,
      'end': [int(start) + 3 for start in starts],
      'text': [
        rng.choice(['', 'hi\n', 'ça "va"', '\ud800', 7]) for _ in starts
      ],
    }
  _write(tmp_path, captions, kind)
  found = _open(tmp_path)
  for video, expected in captions.items():
    features, problem = found.of_video(video)
    starts, ends, texts = _lists(features)
    assert starts == expected['start']
    assert ends == expected['end']
    assert texts == [*map(str, expected['text'])]
    assert problem == ('' if texts else 'no captions')
  features, problem = found.of_video('another')
  assert (_lists(features), problem) == (([], [], []), 'no captions')


def test_arrays_and_scalars_of_numpy(tmp_path):
  times = np.array([0.1, 2.7, 1e-9])
  texts = ['a', 'b', 'c']
  _write(
    tmp_path,
    {
      'arrays': {'start': times, 'end': times + 1, 'text': texts},
      'scalars': {'start': [*times], 'end': [*(times + 1)], 'text': texts},
      3: {'start': times, 'end': times, 'text': texts},  # no id of a video
    },
  )
  found = _open(tmp_path)
  for video in ('arrays', 'scalars'):
    features, problem = found.of_video(video)
    expected = times.tolist(), (times + 1).tolist(), texts
    assert (_lists(features), problem) == (expected, '')


@pytest.mark.parametrize('kind', ['pickle', 'json'])
@pytest.mark.parametrize('missing', [None, float('nan'), np.float64('nan')])
def test_captions_without_a_text_are_left_out(tmp_path, kind, missing):
  whole = {'start': [0, 1, 2], 'end': [3, 4, 5], 'text': ['a', missing, 'None']}
  none = {'start': [0], 'end': [1], 'text': [missing]}
  _write(tmp_path, {'a': whole, 'b': none}, kind)
  found = _open(tmp_path)
  features, problem = found.of_video('a')
  assert (_lists(features), problem) == (([0, 2], [3, 5], ['a', 'None']), '')
  features, problem = found.of_video('b')
  assert (_lists(features), problem) == (([], [], []), 'no captions')


@pytest.mark.parametrize(
  'wrong',
  [
    {'start': [0], 'end': [1]},
    {'start': [0], 'end': [1, 2], 'text': ['a']},
    {'start': [0], 'end': [1], 'text': ['a', 'b']},
    {'start': [[0]], 'end': [[1]], 'text': ['a']},
    {'start': [0], 'end': [None], 'text': ['a']},
    {'start': [0], 'end': [10**400], 'text': ['a']},
    {'start': [0], 'end': [float('inf')], 'text': ['a']},
    {'start': 0, 'end': 1, 'text': 2},
    *([], None, 'none', np.ones(3)),
  ],
)
def test_malformed_captions(tmp_path, wrong):
  good = {'start': [0], 'end': [1], 'text': ['a']}
  kind = 'pickle' if isinstance(wrong, np.ndarray) else 'json'
  _write(tmp_path, {'a': wrong, 'b': good}, kind)
  found = _open(tmp_path)
  features, problem = found.of_video('a')
  assert (_lists(features), problem) == (([], [], []), 'captions unusable')
  assert found.of_video('b')[1] == ''


def test_a_video_that_is_named_twice_has_the_last_captions(tmp_path):
  items = [
    f'"a": {{"start": [{i}], "end": [9], "text": ["t"]}}' for i in (1, 2)
  ]
  (tmp_path / 'caption.json').write_text(f'{{{", ".join(items)}}}')
  assert _lists(_open(tmp_path).of_video('a')[0])[0] == [2]


@pytest.mark.parametrize('is_there', [False, True])
def test_no_captions_at_all_are_no_problem(tmp_path, is_there):
  if is_there:
    _write(tmp_path, {})
  features, problem = _open(tmp_path).of_video('a')
  assert (_lists(features), problem) == (([], [], []), '')


def _starts(folder):
  return _lists(_open(folder).of_video('a')[0])[0]


def _of(start):
  return {'a': {'start': [start], 'end': [9], 'text': ['t']}}


def test_an_unchanged_file_is_not_opened_again(tmp_path):
  """Its content is gone, but its size and time are the same."""
  path = _write(tmp_path, _of(1))
  assert _starts(tmp_path) == [1]
  stat = path.stat()
  path.write_bytes(b'x' * stat.st_size)
  os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
  assert _starts(tmp_path) == [1]


def test_a_changed_file_is_read_again(tmp_path, monkeypatch):
  path = _write(tmp_path, _of(1))
  assert _starts(tmp_path) == [1]
  _write(tmp_path, _of(2.5))  # another size
  assert _starts(tmp_path) == [2.5]
  stat = path.stat()
  _write(tmp_path, _of(3.5))
  assert path.stat().st_size == stat.st_size
  os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
  assert _starts(tmp_path) == [3.5]
  monkeypatch.setattr(caption_index, 'VERSION', 10)
  monkeypatch.setattr(caption_index, '_make', lambda *_: pytest.fail('made'))
  with pytest.raises(pytest.fail.Exception, match='made'):
    _open(tmp_path)


def _indices(folder):
  return {path.suffix for path in (folder / 'indices').iterdir()}


@pytest.mark.parametrize('error', [KeyboardInterrupt, torch_files.ReleaseError])
def test_an_interrupted_index_is_made_again(tmp_path, monkeypatch, error):
  def items(path, advance):
    yield 'a', _of(1)['a']
    raise error

  path = _write(tmp_path, _of(2))
  with monkeypatch.context() as patch:
    patch.setattr(torch_files, 'pickled_items', items)
    with pytest.raises(error):
      _open(tmp_path)
  assert _indices(tmp_path) == {'.lock'}
  # A process that is killed leaves an incomplete file.
  index = caption_index.CaptionIndex(path, tmp_path / 'others').path
  left = tmp_path / 'indices' / f'{index.name}.tmp'
  left.write_bytes(index.read_bytes()[:5000])
  assert _starts(tmp_path) == [2]
  assert _indices(tmp_path) == {'.lock', '.sqlite'}


@pytest.mark.parametrize('content', [b'', b'SQLite format 3\0', b'x' * 9000])
def test_a_damaged_index_is_made_again(tmp_path, content):
  path = _write(tmp_path, _of(1))
  index = caption_index.CaptionIndex(path, tmp_path / 'indices')
  index.path.write_bytes(content)
  assert _starts(tmp_path) == [1]
  index.path.write_bytes(content)
  with pytest.raises(UserError, match=r'cannot be read.* Delete it'):
    index.find('a')


def test_an_index_that_cannot_be_written(tmp_path):
  _write(tmp_path, _of(1))
  (tmp_path / 'indices').write_text('a file')
  with pytest.raises(UserError, match=r'sqlite cannot be written'):
    _open(tmp_path)


def test_two_processes_make_one_index(tmp_path, monkeypatch):
  """The second waits for the first, and takes what that made."""
  path = _write(tmp_path, _of(1))
  made = caption_index.CaptionIndex(path, tmp_path / 'first').path
  place = tmp_path / 'indices' / made.name
  place.parent.mkdir()
  lines = []

  with place.with_name(f'{place.name}.lock').open('wb') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)

    def first_is_ready(line):
      lines.append(line)
      shutil.copy(made, place)
      lock.close()

    monkeypatch.setattr(logs, 'write', first_is_ready)
    assert _starts(tmp_path) == [1]
  assert len(lines) == 1
  assert 'Waiting for another process' in lines[0]


@pytest.mark.parametrize('end', [0.5, None])
@pytest.mark.parametrize('text', ['t', 'word ' * 10**3])
def test_repeated_captions_are_refused(tmp_path, monkeypatch, end, text):
  """A file of 150 kB would take gigabytes, or hours if they are malformed."""
  monkeypatch.setattr(caption_index, 'LARGEST_GROWTH', 4)
  times = [0.5] * 3000
  one = {'start': times, 'end': [*times, end][1:], 'text': [text] * 3000}
  _write(tmp_path, {f'v{i}': one for i in range(200)})
  with pytest.raises(UserError, match=r'again and again|Refused to repeat'):
    _open(tmp_path)
  if text == 't':  # some repetition is fine
    _write(tmp_path, {f'v{i}': one for i in range(3)})
    found = len(_open(tmp_path).of_video('v2')[0]['captions'])
    assert found == (3000 if end else 0)


def test_the_index_serves_all_preparations(tmp_path, monkeypatch):
  """Of both data sets of the data folder, and after their records are gone."""
  for video in 'ab':
    howto100m_files.write_video(tmp_path, video, 500)
  (tmp_path / 'food_and_entertaining').symlink_to(tmp_path / 'cat')
  lines = ['path', 'food_and_entertaining/a', 'cat/b']
  (tmp_path / howto100m_files.LIST).write_text('\n'.join(lines))
  _write(tmp_path, _of(1))

  def prepare(name):
    options = {'data_dir': f'{tmp_path}/records', 'media_dir': str(tmp_path)}
    input_pipeline.prepare(datasets=(name,), **options)
    path = tmp_path / f'records/{name}/1.0.0/skipped.json'
    return json.loads(path.read_text())['remarks']

  assert prepare('videos/howto100m')['no captions'] == ['b']
  (path,) = (tmp_path / 'records/captions').glob('*.sqlite')
  monkeypatch.setattr(caption_index, '_make', lambda *_: pytest.fail('made'))
  assert 'no captions' not in prepare('videos/howto100m_food')
  shutil.rmtree(tmp_path / 'records/videos')
  assert prepare('videos/howto100m')['no captions'] == ['b']
  path.unlink()
  shutil.rmtree(tmp_path / 'records/videos')
  with pytest.raises(pytest.fail.Exception, match='made'):
    prepare('videos/howto100m')
