"""The authors' feature pickles as records, against golden items."""

import json
import pathlib
import pickle

import numpy as np
import pytest

import input_pipeline
from avl_jax.errors import UserError
from avl_jax.features import MediaError
from avl_jax.features import clips as clip_features
from input_pipeline.datasets.clips import from_pickles
from input_pipeline.records import catalog, reader
from tests.helpers import golden

_LOADERS, _ARRAYS = golden.load('loaders')
_ITEMS = {
  kind: _LOADERS['sub'][f'{kind}_m1']['params']['items']
  for kind in ('youcook', 'msrvtt')
}


def _tensor(array):
  torch = pytest.importorskip('torch')
  return torch.from_numpy(np.ascontiguousarray(array))


def _clips(kind, keys, to_tensor=lambda x: x):
  """The golden items in the form of the release's pickles."""
  clips = []
  for item in _ITEMS[kind]:
    name, length = item['audio_in']['name'], item['audio_in']['T']
    audio = golden.db_audio(name, (1, 40, length))[0]
    audio = audio.astype(item['audio_in']['dtype'])
    first, second = (
      golden.normal(name, (n,))
      for name, n in zip(item['names'], item['dims'], strict=True)
    )
    first = np.zeros_like(first) if item['zero_2d'] else np.abs(first)
    clip = {
      'id': item['id'],
      keys[0]: first.astype(item['feat_dtype']),
      keys[1]: second.astype(item['feat_dtype']),
      'audio': to_tensor(audio),
      'caption': item['caption'],
    }
    clips.append(clip)
  return clips


def _write(folder, name, clips):
  folder.mkdir(exist_ok=True)
  (folder / name).write_bytes(pickle.dumps(clips))


def _prepare(folder, name, data_dir):
  input_pipeline.prepare(
    datasets=(name,), data_dir=str(data_dir), media_dir=str(folder)
  )


def _read(name, split, data_dir):
  data = reader.Records((name,), (split,), str(data_dir))
  return {
    example['id'].decode(): example for example in data.read(range(len(data)))
  }


@pytest.fixture(scope='module', params=['numpy', 'torch'])
def data_dir(tmp_path_factory, request):
  folder = tmp_path_factory.mktemp('clips')
  to_tensor = _tensor if request.param == 'torch' else lambda x: x
  clips = _clips('youcook', ('2d', '3d'), to_tensor)
  clips[1] |= {'task': '113', 'start': 12, 'end': 20.9, 'video_id': 'vidA'}
  good = clips[0]
  wrong = [
    {'id': 'no audio', '2d': good['2d'], '3d': good['3d'], 'caption': ''},
    good | {'id': 'nan', '2d': good['2d'] * np.nan},
    good | {'id': 'flat', 'audio': good['3d']},
    good | {'id': 'empty', 'audio': good['audio'][:, :0]},
    {'2d': good['2d']},
  ]
  _write(folder, 'youcook_val_audio.pkl', clips + wrong)
  pooled = _clips('msrvtt', ('2d_pooled', '3d_pooled'), to_tensor)
  for clip in pooled:
    sentence = clip['caption']
    clip |= {'caption': ['one', sentence, 'two'], 'eval_caption': sentence}
  # Two clips of one video, both named after it.
  _write(folder, 'msrvtt_jsfusion_test.pkl', [*pooled, pooled[0]])
  for name in ('clips/youcook2', 'clips/msrvtt'):
    _prepare(folder, name, folder)
  return folder


@pytest.mark.parametrize(
  ('kind', 'name', 'split'),
  [
    ('youcook', 'clips/youcook2', 'val'),
    ('msrvtt', 'clips/msrvtt', 'test'),
  ],
)
@pytest.mark.parametrize('multiplier', [1, 2])
def test_items_meet_the_release(data_dir, kind, name, split, multiplier):
  examples = _read(name, split, data_dir)
  items = _LOADERS['sub'][f'{kind}_m{multiplier}']['params']['items']
  for i, item in enumerate(items):
    num_frames = item['audio_shape'][1]
    clip = clip_features.whole_clip(examples[item['id']], num_frames)
    audio = clip['spectrogram'].T
    assert list(audio.shape) == item['audio_shape']
    assert golden.crc(audio) == item['audio_crc32']
    assert clip['num_frames'] == min(item['nframes'], num_frames)
    np.testing.assert_allclose(
      clip['visual'], _ARRAYS[f'{kind}/{i}/video'], rtol=0, atol=1e-6
    )
    caption = examples[item['id']]['captions'][0].decode()
    assert caption == item['caption']


def test_fields_of_a_record(data_dir):
  name = _ITEMS['youcook'][1]['id']
  example = _read('clips/youcook2', 'val', data_dir)[name]
  assert example['group'] == b'vidA'
  assert (example['start'], example['end']) == (12, np.float32(20.9))
  assert example['source'] == b'youcook_val_audio.pkl[1] task 113'
  assert example['language'] == b'en'
  items = _ITEMS['msrvtt']
  name, caption = items[0]['id'], items[0]['caption']
  examples = _read('clips/msrvtt', 'test', data_dir)
  found = [c.decode() for c in examples[name]['captions']]
  assert found == [caption, 'one', 'two']
  np.testing.assert_array_equal(
    examples[f'{name}/{len(items)}']['spectrogram'],
    examples[name]['spectrogram'],
  )


def test_skipped_clips_are_counted(data_dir):
  skipped = json.loads(
    pathlib.Path(data_dir, 'clips/youcook2/1.0.0/skipped.json').read_text()
  )
  remarks = skipped.pop('remarks')
  assert {reason: len(names) for reason, names in skipped.items()} == {
    'no sound': 1,
    'too short': 1,
    'unreadable': 3,
    'missing': 3,
  }
  count = len(_ITEMS['youcook'])
  assert remarks == {'val: clips fewer than expected': [f'{count} of 3,350']}
  assert len(_read('clips/youcook2', 'val', data_dir)) == count


@pytest.mark.parametrize(
  ('change', 'reason', 'words'),
  [
    ({'2d': np.ones(512)}, 'unreadable', r'\(512,\)\. Expected \(2048,\)'),
    ({'audio': np.ones((41, 30))}, 'unreadable', r'\(41, 30\)\. Expected'),
    ({'audio': [['a', 'b']] * 40}, 'unreadable', 'Expected numbers'),
    ({'audio': [[1.0, 2.0], [3.0]]}, 'unreadable', 'Expected numbers'),
    ({'3d': [10**400] * 2048}, 'unreadable', 'Expected numbers'),
    ({'3d': {}}, 'unreadable', 'Expected numbers'),
    ({'3d': []}, 'too short', 'is empty'),
  ],
)
def test_malformed_arrays(change, reason, words):
  clip = {
    'id': 'a',
    'audio': np.ones((40, 30)),
    '2d': np.ones(2048),
    '3d': np.ones(2048),
    'caption': None,
    'start': 'soon',
  }
  example = from_pickles.example_of(clip, 'here')
  assert example['captions'] == ['']
  assert np.isnan(example['start'])
  with pytest.raises(MediaError, match=words) as caught:
    from_pickles.example_of(clip | change, 'here')
  assert caught.value.reason == reason


def test_the_shortfall_is_printed(tmp_path, capsys):
  _write(tmp_path, 'crosstask_clips_val.pkl', _clips('youcook', ('2d', '3d')))
  _prepare(tmp_path, 'clips/crosstask', tmp_path / 'records')
  printed = capsys.readouterr().out
  assert 'no crosstask_clips_train.pkl' in printed
  count = len(_ITEMS['youcook'])
  assert f'{count} of {count} clips in crosstask_clips_val.pkl' in printed
  assert f'.pkl, {2819 - count:,} fewer' in printed


def test_without_files(tmp_path):
  with pytest.raises(UserError, match=r'youcook_train_audio\.pkl.*media_dir'):
    _prepare(tmp_path, 'clips/youcook2', tmp_path / 'records')
  _write(tmp_path, 'lsmdc_test.pkl', {'a': 1})
  with pytest.raises(UserError, match=r'holds a dict\. Expected a list'):
    _prepare(tmp_path, 'clips/lsmdc', tmp_path / 'records')
  assert not list((tmp_path / 'records').rglob('*1.0.0'))


def test_batches_from_a_file_equal_the_arrays(data_dir):
  """Compares an epoch and an evaluation with the arrays in the pickles."""
  clips = {clip['id']: clip for clip in _clips('youcook', ('2d', '3d'))}

  def expected(identity):
    clip = clips[identity]
    vectors = [
      vector / max(np.linalg.norm(vector), 1e-12)
      for vector in (clip['2d'].astype('f4'), clip['3d'].astype('f4'))
    ]
    padded = np.zeros((1024, 40), 'f4')
    audio = clip['audio'][:, :1024].T
    padded[: len(audio)] = audio
    return padded, np.concatenate(vectors)

  train = input_pipeline.train_batches(
    datasets=('clips/youcook2',),
    split='val',
    batch_size=len(clips),
    clips_per_example=0,
    num_frames=1024,
    augmentation={},
    distinct_groups=False,
    seed=1,
    data_dir=str(data_dir),
  )
  evaluation = input_pipeline.eval_batches(
    evaluations={'yc': {'datasets': ('clips/youcook2',), 'splits': ('val',)}},
    batch_size=4,
    num_frames=1024,
    data_dir=str(data_dir),
  )['yc']
  for batches in (list(train.from_step(0, 1)), list(evaluation)):
    ids = [name for batch in batches for name in batch['id']]
    assert sorted(ids) == sorted(clips)
    for batch in batches:
      for i, identity in enumerate(batch['id']):
        audio, visual = expected(identity)
        np.testing.assert_array_equal(batch['spectrogram'][i], audio)
        np.testing.assert_allclose(batch['visual'][i], visual, atol=1e-6)


def test_a_split_that_was_not_made(data_dir):
  evaluation = {'datasets': ('clips/youcook2',), 'splits': ('sounds241',)}
  with pytest.raises(
    input_pipeline.DataError, match=r"'sounds241'. It has val, .*delete .*1\.0"
  ):
    input_pipeline.eval_batches(
      evaluations={'sounds': evaluation},
      batch_size=2,
      num_frames=50,
      data_dir=str(data_dir),
    )


def test_synthetic_content_is_marked(tmp_path):
  clips = _clips('youcook', ('2d', '3d'))
  fingerprints = []
  for mark in ('real', 'synthetic'):
    folder = tmp_path / mark
    _write(folder, 'crosstask_clips_val.pkl', clips)
    if mark == 'synthetic':
      (folder / catalog.SYNTHETIC).touch()
    _prepare(folder, 'clips/crosstask', folder / 'records')
    data = reader.Records(
      ('clips/crosstask',), ('val',), str(folder / 'records')
    )
    fingerprints.append(data.fingerprint)
  assert fingerprints[1] == f'synthetic-{fingerprints[0]}'
  vectors = tmp_path / 'words.vec'
  vectors.write_text('2 2\nthe 1 0\nadd 0 1\n')
  evaluation = {'datasets': ('clips/crosstask',), 'splits': ('val',)}
  batches = input_pipeline.eval_batches(
    evaluations={'clips': evaluation},
    batch_size=1,
    num_frames=8,
    words={'vectors': str(vectors), 'max_words': 3},
    data_dir=str(tmp_path / 'synthetic' / 'records'),
  )['clips']
  assert batches.fingerprint.startswith('synthetic-')
  assert batches.fingerprint != fingerprints[1]
