"""HowTo100M's layout against golden H: files, windows, captions."""

import itertools
import json
import os
import pathlib
import pickle

import jax
import numpy as np
import pytest
from array_record.python import array_record_module

import input_pipeline
from avl_jax import parallel
from avl_jax.errors import UserError
from avl_jax.features import clips
from avl_jax.models import avlnet
from avl_jax.train import step as training_step
from input_pipeline.records import reader as record_reader
from input_pipeline.transforms import cutters
from tests.helpers import golden

_H, _ARRAYS = golden.load('loaders')
_FILES = _H['sub']['youtube_files']['params']
_RANDOM = _H['sub']['youtube_random']['params']['cases']
_WINDOWS = _H['sub']['youtube_asr_windows']['params']
_ASR = _H['sub']['youtube_asr']['params']


def _spectrogram(length):
  """float16 [40, T] as golden H's files."""
  name = f'H/youtube/spec{length}'
  recipe = {'kind': 'db_audio', 'name': name, 'shape': (1, 40, length)}
  recipe['crc32'] = golden.crc(golden._db_audio(name, (1, 40, length)))
  spectrogram = golden.make_input(recipe)[0].astype('f2')
  columns = np.arange(length)
  spectrogram[0], spectrogram[1] = columns // 100 + 1, columns % 100
  return spectrogram


def _write(folder, video, length, *, npy=False):
  folder = folder / 'cat' / video
  folder.mkdir(parents=True)
  np.savez(folder / f'{video}_spec.npz', _spectrogram(length))
  features = {
    '2d': golden.normal('H/youtube/2d', (60, 8)).astype('f2'),
    '3d': np.abs(golden.normal('H/youtube/3d', (90, 6))).astype('f2'),
  }
  for stream, array in features.items():
    if npy:
      np.save(folder / f'{video}_{stream}.npy', array)
    else:
      np.savez(folder / f'{video}_{stream}.npz', features=array)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Golden H's videos, and one of each thing that can be wrong."""
  folder = tmp_path_factory.mktemp('howto100m')
  lengths = _FILES['spec_T']
  for length in lengths:
    _write(folder, f'v{length}', length, npy=length == 1200)
  np.savez(folder / 'cat' / 'v500' / 'v500_x.npz', np.zeros(3))
  for video in ('bad', 'bomb', 'nan'):
    _write(folder, video, 500)
  wrong = folder / 'cat' / 'bad' / 'bad_2d.npz'
  wrong.write_bytes(wrong.read_bytes()[:200])
  objects = np.array([{}], object)
  np.savez(folder / 'cat' / 'bomb' / 'bomb_spec.npz', objects)
  np.savez(
    folder / 'cat' / 'nan' / 'nan_3d.npz', features=np.full((3, 6), np.nan)
  )
  paths = [f'None/cat/v{length}' for length in lengths[:1]]
  paths += [f'cat/v{length}' for length in lengths[1:]]
  paths += ['cat/bad', 'cat/bomb', 'cat/nan', 'cat/gone', 'cat/v500']
  paths += ['../secret', '/etc/passwd', 'food_and_entertaining/v_x/none']
  lines = '\n'.join(['path', *paths])
  (folder / 'HowTo100M_1166_videopaths.txt').write_text(lines)
  captions = {'v6000': _ASR['captions'], 'v500': {'start': [1.0], 'end': []}}
  captions['v500']['text'] = []
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


def test_what_is_left_out_is_counted(data_dir, videos):
  assert set(videos) == {f'v{length}' for length in _FILES['spec_T']}
  folder = pathlib.Path(data_dir, 'videos/howto100m/1.0.0')
  skipped = json.loads((folder / 'skipped.json').read_text())
  counts = {reason: len(names) for reason, names in skipped.items()}
  assert counts == {
    'listed twice': 1,
    'no file': 2,
    'unreadable': 3,
    'unsafe id': 2,
    'captions unusable': 1,
    'no captions': 3,
    'videos fewer than expected': 1,
  }
  unreadable = '\n'.join(skipped['unreadable'])
  for text in ('dtype object', 'not finite', 'damaged'):
    assert text in unreadable


@pytest.mark.parametrize('case', _RANDOM, ids=lambda c: f'T{c["T"]}')
def test_random_windows(videos, case):
  """From the authors' files by our records to the release's own items."""
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
    joined = cutters.caption_window(
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
  example = videos['v6000']
  texts = _ASR['captions']['text']
  for i, index in enumerate(_ASR['caption_indices']):
    options = {
      'num_frames': _ASR['num_audio_frames'],
      'min_time': _ASR['min_time'],
    }
    clip = cutters.caption_clip(example, index, order='release', **options)
    audio = clip['spectrogram'].T.astype('f2')
    assert golden.crc(audio) == _ASR['audio_crc32'][i]
    assert clip['num_frames'] == _ARRAYS['youtube_asr/nframes'][i]
    np.testing.assert_allclose(
      clip['visual'], _ARRAYS['youtube_asr/video'][i], rtol=0, atol=1e-6
    )
    assert clip['caption'].startswith(texts[index])
    in_time = cutters.caption_clip(example, index, **options)['caption']
    assert sorted(in_time.split()) == sorted(clip['caption'].split())
    positions = [in_time.find(text) for text in texts if text in in_time]
    assert positions == sorted(positions)


def test_a_window_at_the_beginning_is_heard(videos):
  """The release would find nothing: its first frame is -2."""
  example = videos['v6000'] | {
    'caption_starts': np.zeros(1),
    'caption_ends': np.full(1, 4.0),
    'captions': [b'hello'],
  }
  clip = cutters.caption_clip(example, 0, num_frames=600, min_time=5)
  assert clip['num_frames'] == 398
  np.testing.assert_array_equal(
    clip['spectrogram'][:398], example['spectrogram'][:398]
  )


def _captioned(folder, count, seconds):
  """Videos with captions of three seconds each, as wide as the real ones."""
  captions, paths = {}, []
  for i in range(count):
    place = folder / f'cat/v{i}'
    place.mkdir(parents=True)
    rng = np.random.default_rng(i)
    spectrogram = rng.normal(-40, 9, (40, 100 * seconds)).astype('f2')
    np.savez(place / f'v{i}_spec.npz', spectrogram)
    for stream, rate in (('2d', 1), ('3d', 1.5)):
      features = rng.normal(size=(int(rate * seconds), 2048)).astype('f2')
      np.savez(place / f'v{i}_{stream}.npz', features=features)
    starts = list(range(0, seconds - 3, 3))
    captions[f'v{i}'] = {
      'start': starts,
      'end': [start + 3 for start in starts],
      'text': [f'w{start}' for start in starts],
    }
    paths.append(f'cat/v{i}')
  (folder / 'HowTo100M_1166_videopaths.txt').write_text(
    '\n'.join(['path', *paths])
  )
  (folder / 'caption.json').write_text(json.dumps(captions))
  input_pipeline.prepare(
    datasets=('videos/howto100m',),
    data_dir=str(folder),
    media_dir=str(folder),
  )


def _train_batches(folder, **options):
  return input_pipeline.train_batches(
    datasets=('videos/howto100m',),
    split='train',
    augmentation={},
    distinct_groups=False,
    seed=1,
    data_dir=str(folder),
    **options,
  )


def _word_vectors(folder, seconds):
  """The n-th caption's word is (n, 1), from 0."""
  lines = [f'w{3 * n} {n} 1\n' for n in range((seconds - 3) // 3)]
  path = folder / 'captions.vec'
  path.write_text(f'{len(lines)} 2\n' + ''.join(lines))
  return {'vectors': str(path), 'max_words': 4}


def test_batches_around_captions(tmp_path, data_dir):
  _captioned(tmp_path, 3, 30)
  words = _word_vectors(tmp_path, 30)
  options = {'clips_per_example': 4, 'num_frames': 1000, 'min_time': 8.0}
  batches = _train_batches(tmp_path, batch_size=3, words=words, **options)
  data = record_reader.Records(('videos/howto100m',), ('train',), str(tmp_path))
  videos = {v['id'].decode(): v for v in data.read(range(len(data)))}
  (batch,) = batches.from_step(0, 1)
  windows = set()
  for i, video in enumerate(batch['id']):
    # Nine seconds that begin where a caption does.
    assert batch['num_frames'][i] in (898, 900)
    frames = videos[video]['spectrogram']
    first = batch['spectrogram'][i, 0]
    (start,) = np.flatnonzero((frames == first).all(1))
    assert start in {max(0, 100 * s - 2) for s in range(0, 30, 3)}
    windows.add((video, int(start)))
    # What is said in the window: three captions, in time.
    said = -(-start // 300) + np.arange(3)
    np.testing.assert_array_equal(batch['words'][i, :3, 0], said)
    np.testing.assert_array_equal(batch['words'][i, :, 1], [1, 1, 1, 0])
  assert len(batch['id']) == 12
  assert len(windows) > 6
  (again,) = batches.from_step(0, 1)
  np.testing.assert_array_equal(batch['spectrogram'], again['spectrogram'])
  (plain,) = _train_batches(tmp_path, batch_size=3, **options).from_step(0, 1)
  assert plain.keys() == batch.keys() - {'words'}
  np.testing.assert_array_equal(batch['spectrogram'], plain['spectrogram'])
  joined = _train_batches(
    tmp_path, batch_size=3, words=words, word_order='release', **options
  ).batch(0)
  assert not np.array_equal(joined['words'], batch['words'])
  np.testing.assert_array_equal(
    np.sort(joined['words'][:, :3], 1), batch['words'][:, :3]
  )
  with pytest.raises(input_pipeline.DataError, match=r'min_time.*vectors=.{2}'):
    _train_batches(
      tmp_path, batch_size=3, words=words, **options | {'min_time': 0.0}
    )
  # Where a video has none, another one is in its place.
  mixed = _train_batches(data_dir, batch_size=5, **options)
  assert set(mixed.batch(0)['id']) == {'v6000'}
  assert mixed.bad_records.counts == {
    'no captions to cut around (train_data.min_time)': 4
  }


def _naive_clip(example, start, num_frames):
  """The window by NumPy's own conversions and maxima."""
  first = max(0, 100 * start - 2)
  frames = example['spectrogram'][first : first + num_frames]
  spectrogram = np.zeros((num_frames, 40), np.float32)
  spectrogram[: len(frames)] = frames.astype(np.float32)
  end, visual = start + num_frames // 100, []
  for name, rate in (('visual_2d', 1), ('visual_3d', 1.5)):
    window = example[name][int(start * rate) : int(end * rate) + 1]
    pooled = window.astype(np.float32).max(0)
    visual.append(pooled / np.linalg.norm(pooled))
  return spectrogram, np.concatenate(visual)


def test_batches_are_exactly_the_naive_ones(tmp_path):
  """Made ahead too, in threads and in memory that is used again."""
  _captioned(tmp_path, 6, 30)
  batches = _train_batches(
    tmp_path, batch_size=3, clips_per_example=5, num_frames=1000
  )
  data = record_reader.Records(('videos/howto100m',), ('train',), str(tmp_path))
  order = batches._batch_sampler
  seen = 0
  for step, batch in enumerate(batches.from_step(0, 12)):
    epoch, indices = order.batch(step)
    for i, index in enumerate(indices):
      (example,) = data.read([index])
      rng = np.random.default_rng((1, epoch, int(index)))
      starts = cutters.random_starts(3000, 1000, 5, rng)
      for j, start in enumerate(starts, 5 * i):
        spectrogram, visual = _naive_clip(example, int(start), 1000)
        np.testing.assert_array_equal(batch['spectrogram'][j], spectrogram)
        np.testing.assert_array_equal(batch['visual'][j], visual)
        assert batch['id'][j] == example['id'].decode()
        seen += 1
  assert seen == 12 * 15


def test_records_are_not_compressed(tmp_path):
  """Random features would be a fifth smaller."""
  _captioned(tmp_path, 2, 30)
  files = list(tmp_path.rglob('*.array_record*'))
  assert sum(f.stat().st_size for f in files) > 2 * 30 * (100 * 80 + 2.5 * 4096)
  for file in files:
    reader = array_record_module.ArrayRecordReader(str(file))
    assert 'uncompressed' in reader.writer_options_string()
    reader.close()


@pytest.mark.slow
def test_full_batches_of_howto100m(tmp_path):
  """128 videos x 32 clips, two steps of a narrow model on eight devices."""
  _captioned(tmp_path, 200, 15)
  batches = _train_batches(
    tmp_path, batch_size=128, clips_per_example=32, num_frames=1000
  )
  network = avlnet.AVLnet(embed_dim=16, widths=(8, 8, 8, 8, 8))
  variables = avlnet.init_variables(network, batches.visual_width)
  optimizer = training_step.make_optimizer(learning_rate=1e-3)
  state = training_step.create_state(variables, optimizer)
  step = parallel.pmap_step(
    training_step.make_step(
      network, optimizer, pairs=(('audio', 'video'),), margin=0.001
    )
  )
  losses = []
  for batch in batches.from_step(0, 2):
    assert batch['spectrogram'].shape == (4096, 1000, 40)
    assert batch['visual'].shape == (4096, 4096)
    assert len(np.unique(batch['id'])) == 128
    del batch['id']
    state, metrics = jax.block_until_ready(step(state, parallel.shard(batch)))
    losses.append(float(np.ravel(metrics['loss'])[0]))
  assert np.isfinite(losses).all()
  # Two directions, each at most a little above chance among 4,096.
  assert 0 < losses[1] < losses[0] < 3 * 2 * np.log(4096)


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
  (tmp_path / 'media' / 'HowTo100M_1166_videopaths.txt').write_text(
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
  """Prepares the videos a and b of a folder; what was left out."""
  (folder / 'HowTo100M_1166_videopaths.txt').write_text('path\ncat/a\ncat/b')
  input_pipeline.prepare(
    datasets=('videos/howto100m',),
    data_dir=str(folder / 'records'),
    media_dir=str(folder),
  )
  path = folder / 'records/videos/howto100m/1.0.0/skipped.json'
  return json.loads(path.read_text())


def test_features_of_another_width_are_left_out(tmp_path):
  for video in 'ab':
    _write(tmp_path, video, 500)
  np.savez(tmp_path / 'cat/b/b_2d.npz', features=np.ones((60, 9), 'f2'))
  (line,) = _prepare_two(tmp_path)['unreadable']
  assert 'visual_2d of b is 9 wide, that of the first video 8' in line


@pytest.mark.parametrize(
  ('content', 'message'),
  [('{"a": ', 'expected JSON'), ('[]', 'got a list')],
)
def test_a_caption_file_that_is_none(tmp_path, content, message):
  _write(tmp_path, 'a', 500)
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
def test_captions_that_are_none(tmp_path, wrong):
  for video in 'ab':
    _write(tmp_path, video, 500)
  good = {'start': [0], 'end': [1], 'text': ['a']}
  (tmp_path / 'caption.json').write_text(json.dumps({'a': wrong, 'b': good}))
  assert _prepare_two(tmp_path)['captions unusable'] == ['a']


@pytest.mark.parametrize('content', [None, 'id\ncat/v1\n'])
def test_without_the_list(tmp_path, content):
  if content:
    (tmp_path / 'HowTo100M_1166_videopaths.txt').write_text(content)
  with pytest.raises(
    UserError, match=r'media_dir=FOLDER|expected columns path'
  ):
    input_pipeline.prepare(
      datasets=('videos/howto100m',),
      data_dir=str(tmp_path / 'records'),
      media_dir=str(tmp_path),
    )
