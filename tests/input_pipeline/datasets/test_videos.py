"""HowTo100M from feature files, against golden files, clips and captions."""

import itertools
import json
import os
import pathlib
import pickle

import numpy as np
import pytest

import input_pipeline
from avl_jax.errors import UserError
from avl_jax.features import clips
from input_pipeline.records import reader as record_reader
from input_pipeline.transforms import caption_windows
from tests.helpers import golden, howto100m_files

_LOADERS, _ARRAYS = golden.load('loaders')
_FILES = _LOADERS['sub']['youtube_files']['params']
_RANDOM = _LOADERS['sub']['youtube_random']['params']['cases']
_WINDOWS = _LOADERS['sub']['youtube_asr_windows']['params']
_ASR = _LOADERS['sub']['youtube_asr']['params']
# Lengths of the videos that have captions: usable ones, none.
_LONG, _SHORT = (
  _LOADERS['sub'][sub]['params']['spec_T']
  for sub in ('youtube_asr', 'youtube_asr_missing')
)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """The golden videos, and one for each kind of error."""
  folder = tmp_path_factory.mktemp('howto100m')
  lengths = _FILES['spec_T']
  for length in lengths:
    npy = length == max({*lengths} - {_LONG})
    howto100m_files.write_video(folder, f'v{length}', length, npy=npy)
  np.savez(folder / 'cat' / f'v{_SHORT}' / f'v{_SHORT}_x.npz', np.zeros(3))
  for video in ('bad', 'bomb', 'nan'):
    howto100m_files.write_video(folder, video, 500)
  wrong = folder / 'cat' / 'bad' / 'bad_2d.npz'
  wrong.write_bytes(wrong.read_bytes()[:200])
  objects = np.array([{}], object)
  np.savez(folder / 'cat' / 'bomb' / 'bomb_spec.npz', objects)
  np.savez(
    folder / 'cat' / 'nan' / 'nan_3d.npz', features=np.full((3, 6), np.nan)
  )
  paths = [f'None/cat/v{length}' for length in lengths[:1]]
  paths += [f'cat/v{length}' for length in lengths[1:]]
  paths += ['cat/bad', 'cat/bomb', 'cat/nan', 'cat/gone', f'cat/v{_SHORT}']
  paths += ['../secret', '/etc/passwd', 'food_and_entertaining/v_x/none']
  lines = '\n'.join(['path', *paths])
  (folder / howto100m_files.LIST).write_text(lines)
  captions = {
    f'v{_LONG}': _ASR['captions'],
    f'v{_SHORT}': {'start': [1.0], 'end': [], 'text': []},
  }
  (folder / 'caption.pickle').write_bytes(pickle.dumps(captions))
  return folder


@pytest.fixture(scope='module')
def data_dir(folder, tmp_path_factory):
  data_dir = str(tmp_path_factory.mktemp('records'))
  input_pipeline.prepare(
    datasets=('videos/howto100m',), data_dir=data_dir, media_dir=str(folder)
  )
  return data_dir


@pytest.fixture(scope='module')
def videos(data_dir):
  data = record_reader.Records(('videos/howto100m',), ('train',), data_dir)
  return {v['id'].decode(): v for v in data.read(range(len(data)))}


def test_skipped_videos_are_counted(data_dir, videos):
  assert set(videos) == {f'v{length}' for length in _FILES['spec_T']}
  folder = pathlib.Path(data_dir, 'videos/howto100m/1.0.0')
  skipped = json.loads((folder / 'skipped.json').read_text())
  remarks = skipped.pop('remarks')
  counts = {reason: len(names) for reason, names in skipped.items()}
  assert counts == {
    'duplicate': 1,
    'missing': 2,
    'unreadable': 3,
    'unsafe name': 2,
  }
  counts = {remark: len(names) for remark, names in remarks.items()}
  assert counts == {
    'captions unusable': 1,
    'no captions': len(_FILES['spec_T']) - 2,
    'videos fewer than expected': 1,
  }
  unreadable = '\n'.join(skipped['unreadable'])
  for text in ('dtype object', 'infinite or NaN', 'damaged'):
    assert text in unreadable


@pytest.mark.parametrize('case', _RANDOM, ids=lambda c: f'T{c["T"]}')
def test_random_windows(videos, case):
  """Clips of records of the authors' files equal the release's items."""
  num_frames, example = case['num_audio_frames'], videos[f'v{case["T"]}']
  for i, window in enumerate(case['windows']):
    clip = clips.cut_clip(example, window['start_second'], num_frames)
    audio = clip['spectrogram'].T.astype('f2')
    assert golden.crc(audio) == window['audio_crc32']
    np.testing.assert_allclose(
      clip['visual'], _ARRAYS[case['video_key']][i], rtol=0, atol=1e-6
    )


def _lists():
  lists = _WINDOWS['caption_lists'].items()
  return {
    name: {key: np.array(value) for key, value in captions.items()}
    for name, captions in lists
  }


def test_caption_windows_meet_the_release():
  lists = _lists()
  clamped = 0
  for case in _WINDOWS['results']:
    captions = lists[case['captions']]
    joined = caption_windows.caption_window(
      captions['start'], captions['end'], case['ind'], case['min_time']
    )
    assert (min(joined), max(joined)) == (case['start_idx'], case['end_idx'])
    words = ' '.join(captions['text'][joined]).split()
    assert words == case['words']
    start = captions['start'][min(joined)]
    end = captions['end'][max(joined)]
    first, last = map(clips.time_to_frame, (start, end))
    assert last == case['frames'][1]
    # The release reads from the end where the first frame is negative.
    assert first == max(0, case['frames'][0])
    if case['frames'][0] >= 0 and case['nframes']:
      assert first == case['first_frame']
      assert case['nframes'] == min(
        max(min(last, case['spec_T']) - first, 0), case['num_audio_frames']
      )
    clamped += case['frames'][0] < 0
  assert clamped


def test_caption_clips_meet_the_release(videos):
  example = videos[f'v{_LONG}']
  texts = _ASR['captions']['text']
  for i, index in enumerate(_ASR['caption_indices']):
    options = {
      'num_frames': _ASR['num_audio_frames'],
      'min_time': _ASR['min_time'],
    }
    clip = caption_windows.caption_clip(
      example, index, order='release', **options
    )
    audio = clip['spectrogram'].T.astype('f2')
    assert golden.crc(audio) == _ASR['audio_crc32'][i]
    assert clip['num_frames'] == _ARRAYS['youtube_asr/nframes'][i]
    np.testing.assert_allclose(
      clip['visual'], _ARRAYS['youtube_asr/video'][i], rtol=0, atol=1e-6
    )
    assert clip['caption'].startswith(texts[index])
    in_time = caption_windows.caption_clip(example, index, **options)['caption']
    assert sorted(in_time.split()) == sorted(clip['caption'].split())
    positions = [in_time.find(text) for text in texts if text in in_time]
    assert positions == sorted(positions)


def test_a_clip_at_the_beginning_has_audio(videos):
  """The release finds no audio there: its first frame is -2."""
  example = videos[f'v{_LONG}'] | {
    'caption_starts': np.zeros(1),
    'caption_ends': np.full(1, 4.0),
    'captions': [b'hello'],
  }
  clip = caption_windows.caption_clip(example, 0, num_frames=600, min_time=5)
  assert clip['num_frames'] == 398
  np.testing.assert_array_equal(
    clip['spectrogram'][:398], example['spectrogram'][:398]
  )


def test_videos_without_captions_are_replaced(data_dir):
  batches = howto100m_files.train_batches(
    data_dir, batch_size=5, clips_per_example=4, num_frames=1000, min_time=8.0
  )
  assert set(batches.batch(0)['id']) == {f'v{_LONG}'}
  assert batches.bad_records.counts == {
    'no captions to cut around (train_data.min_time)': 4
  }


def test_fractions_are_nested(tmp_path):
  paths = []
  for i in range(40):
    folder = tmp_path / 'media' / f'cat/v{i}'
    folder.mkdir(parents=True)
    np.savez(folder / f'v{i}_spec.npz', np.full((40, 30), -i, 'f2'))
    for stream in ('2d', '3d'):
      np.savez(folder / f'v{i}_{stream}.npz', features=np.ones((1, 4), 'f2'))
    paths.append(f'{"food_and_entertaining" if i % 2 else "cat"}/v{i}')
  (tmp_path / 'media' / 'food_and_entertaining').symlink_to(
    tmp_path / 'media' / 'cat'
  )
  (tmp_path / 'media' / howto100m_files.LIST).write_text(
    '\n'.join(['path', *paths])
  )
  names = ('videos/howto100m', 'videos/howto100m_food')
  input_pipeline.prepare(
    datasets=names,
    data_dir=str(tmp_path),
    media_dir=f'{tmp_path}/media{os.pathsep}{tmp_path}/media',
  )

  def ids(name, split):
    return set(
      record_reader.Records((name,), (split,), str(tmp_path)).column('id')
    )

  nested = [
    ids('videos/howto100m', f'train[:{share}%]') for share in (10, 25, 50, 100)
  ]
  assert [len(subset) for subset in nested] == [4, 10, 20, 40]
  for smaller, larger in itertools.pairwise(nested):
    assert smaller < larger
  # Not the first ones of the list.
  assert nested[0] != {f'v{i}'.encode() for i in range(4)}
  food = ids('videos/howto100m_food', 'train')
  assert food == {f'v{i}'.encode() for i in range(1, 40, 2)}


def _prepare_two(folder):
  """Prepares the videos a and b of a folder; returns what was skipped."""
  (folder / howto100m_files.LIST).write_text('path\ncat/a\ncat/b')
  input_pipeline.prepare(
    datasets=('videos/howto100m',),
    data_dir=str(folder / 'records'),
    media_dir=str(folder),
  )
  path = folder / 'records/videos/howto100m/1.0.0/skipped.json'
  return json.loads(path.read_text())


def test_features_of_another_width_are_skipped(tmp_path):
  for video in 'ab':
    howto100m_files.write_video(tmp_path, video, 500)
  np.savez(tmp_path / 'cat/b/b_2d.npz', features=np.ones((60, 9), 'f2'))
  (line,) = _prepare_two(tmp_path)['unreadable']
  assert 'visual_2d of b is 9 wide. Expected 8, as in the first video' in line


@pytest.mark.parametrize(
  ('content', 'message'),
  [('{"a": ', 'Expected JSON'), ('[]', 'got a list')],
)
def test_malformed_caption_files(tmp_path, content, message):
  howto100m_files.write_video(tmp_path, 'a', 500)
  (tmp_path / 'caption.json').write_text(content)
  with pytest.raises(UserError, match=f'caption.json: .*{message}'):
    _prepare_two(tmp_path)


@pytest.mark.parametrize(
  'wrong',
  [
    {'start': [0], 'end': [1]},
    {'start': [0], 'end': ['soon'], 'text': ['a']},
    {'start': [[0]], 'end': [[1]], 'text': ['a']},
    {'start': 0, 'end': 1, 'text': 2},
    'none',
  ],
)
def test_malformed_captions(tmp_path, wrong):
  for video in 'ab':
    howto100m_files.write_video(tmp_path, video, 500)
  good = {'start': [0], 'end': [1], 'text': ['a']}
  (tmp_path / 'caption.json').write_text(json.dumps({'a': wrong, 'b': good}))
  assert _prepare_two(tmp_path)['remarks']['captions unusable'] == ['a']


@pytest.mark.parametrize('content', [None, 'id\ncat/v1\n'])
def test_without_the_list(tmp_path, content):
  if content:
    (tmp_path / howto100m_files.LIST).write_text(content)
  with pytest.raises(
    UserError, match=r'media_dir=FOLDER|Expected the columns path'
  ):
    input_pipeline.prepare(
      datasets=('videos/howto100m',),
      data_dir=str(tmp_path / 'records'),
      media_dir=str(tmp_path),
    )
