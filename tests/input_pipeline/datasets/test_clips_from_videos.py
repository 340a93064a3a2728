"""Clips of raw videos: from annotations and containers to batches."""

import json
import pathlib
import shutil

import numpy as np
import pytest

import input_pipeline
from avl_jax import torch_files
from avl_jax.backbones import feature_extractor
from avl_jax.errors import UserError
from avl_jax.extraction.video_features import Extraction
from avl_jax.features import Status, audio
from input_pipeline.datasets.clips import builder as clips
from input_pipeline.records import catalog, reader
from tests.helpers import annotated, golden


def _prepare(name, folder, data_dir, extractor=None, **options):
  """Makes the records with a small extractor; returns it."""
  extractor = extractor or annotated.Extractor()
  extraction = Extraction(
    extractor, extractor.widths, data_dir / 'extracted' / 'small'
  )
  clips.Clips(
    config=name,
    data_dir=data_dir,
    media_dir=str(folder),
    extraction=extraction,
    **options,
  ).download_and_prepare()
  return extractor


def _skipped(name, data_dir):
  folder = pathlib.Path(data_dir, f'clips/{name}/1.0.0')
  skipped = json.loads((folder / 'skipped.json').read_text())
  remarks = skipped.pop('remarks')
  assert not remarks.keys() & {*Status}
  return {reason: len(names) for reason, names in (skipped | remarks).items()}


def _naive(folder, video, start, end):
  """Computes spectrogram and pooled features of a piece from the whole file."""
  (path,) = (p for p in (folder / 'videos').rglob('*') if p.stem == video)
  whole = audio.read_audio(path)
  last = None if np.isinf(end) else round(16_000 * end)
  spectrogram = audio.log_mel_spectrogram(whole[round(16_000 * start) : last])
  parts = []
  stop = None if np.isinf(end) else end
  for array in annotated.Extractor()(path, start, stop).values():
    pooled = array.astype('f4').max(0)
    parts.append(pooled / np.linalg.norm(pooled))
  return path, spectrogram, np.concatenate(parts)


@pytest.fixture(
  scope='module',
  params=['youcook2', 'crosstask', 'msrvtt', 'lsmdc', 'youcook_japanese'],
)
def prepared(tmp_path_factory, request):
  """(data set, its folder, data_dir, expected clips, pieces extracted)."""
  root = tmp_path_factory.mktemp(request.param)
  folder = root / 'media'
  folder.mkdir()
  expected = getattr(annotated, request.param)(folder)
  extractor = _prepare(request.param, folder, root)
  return request.param, folder, root, expected, extractor.calls


def test_batches_equal_a_naive_computation(prepared):
  name, folder, data_dir, expected, _ = prepared
  splits = {split for split, *_ in expected}
  evaluations = {
    split: {'datasets': (f'clips/{name}',), 'splits': (split,)}
    for split in splits
  }
  batches = input_pipeline.eval_batches(
    evaluations=evaluations,
    batch_size=2,
    num_frames=900,
    data_dir=str(data_dir),
  )
  for split in splits:
    rows = {
      str(clip): (
        batch['spectrogram'][i],
        batch['num_frames'][i],
        batch['visual'][i],
      )
      for batch in batches[split]
      for i, clip in enumerate(batch['id'])
    }
    wanted = [row for row in expected if row[0] == split]
    assert sorted(rows) == sorted(clip for _, clip, *_ in wanted)
    for _, clip, video, start, end, _ in wanted:
      path, spectrogram, visual = _naive(folder, video, start, end)
      found, num_frames, pooled = rows[clip]
      np.testing.assert_allclose(pooled, visual, atol=1e-6)
      assert abs(num_frames - len(spectrogram)) <= 6  # a codec's packet
      size = min(num_frames, len(spectrogram))
      difference = np.abs(found[:size] - spectrogram[:size])
      # A cut packet changes the samples that are reflected at the ends. Some
      # containers' times are exact only to a millisecond, which changes the
      # noise that a codec adds below the tone.
      loud = spectrogram[:size] > -30
      assert np.quantile(difference[loud], 0.9) < 1
      if path.suffix == '.mp4':
        assert np.quantile(difference, 0.95) < 0.02
      assert not found[num_frames:].any()
      assert spectrogram.std() > 5


def test_fields_of_a_record(prepared):
  name, folder, data_dir, expected, _ = prepared
  for split in {row[0] for row in expected}:
    data = reader.Records((f'clips/{name}',), (split,), str(data_dir))
    found = {e['id'].decode(): e for e in data.read(range(len(data)))}
    for _, clip, video, start, end, captions in (
      row for row in expected if row[0] == split
    ):
      example = found[clip]
      assert example['group'].decode() == video
      assert [c.decode() for c in example['captions']] == list(captions)
      times = (np.nan, np.nan) if np.isinf(end) else (start, end)
      np.testing.assert_allclose((example['start'], example['end']), times)
      source = example['source'].decode().partition(' task ')[0]
      assert (folder / 'videos' / source).is_file()
      japanese = name == 'youcook_japanese'
      assert example['language'] == (b'ja' if japanese else b'en')


_UNREADABLE = [k for k, v in annotated.BAD.items() if v == 'unreadable']
SKIPPED = {
  'youcook2': {
    'too short': 2,  # an empty segment; one beyond the end of its video
    'shorter than annotated, but kept': 1,
    'no sound': 1,
    'unreadable': len(_UNREADABLE),
    'missing': 1 + 2,  # a video; the splits by speech
    'unsafe name': 3,
    'train: clips fewer than expected': 1,
    'val: clips fewer than expected': 1,
  },
  'crosstask': {
    'missing': 2,  # an annotation, a video
    'unsafe name': 1,
    'train: clips fewer than expected': 1,
    'val: clips fewer than expected': 1,
  },
  'msrvtt': {
    'missing': 1,
    'no sound': 1,
    'train_7k: clips fewer than expected': 1,
    'test: clips fewer than expected': 1,
  },
  'lsmdc': {
    'missing': 1,
    'train: clips fewer than expected': 1,
    'test: clips fewer than expected': 1,
  },
  'youcook_japanese': {
    'missing': 1,
    'too short': 1,
    'train: videos fewer than expected': 1,
    'val: videos fewer than expected': 1,
    'eval: videos fewer than expected': 1,
  },
}


def test_skipped_clips_are_counted(prepared):
  name, _, data_dir, _, _ = prepared
  assert _skipped(name, data_dir) == SKIPPED[name]


def test_each_piece_is_extracted_once(prepared):
  *_, expected, calls = prepared
  assert len(calls) == len(set(calls))
  assert len(calls) >= len({row[2:5] for row in expected})


@pytest.fixture(scope='module')
def small_youcook2(tmp_path_factory):
  folder = tmp_path_factory.mktemp('small') / 'media'
  folder.mkdir()
  annotated.youcook2(folder)
  for name in _UNREADABLE:
    (folder / 'videos' / f'{name}.mp4').unlink()
  return folder


@pytest.fixture
def youcook2(tmp_path, small_youcook2):
  """The folder of a small YouCook2 of five good clips."""
  return pathlib.Path(
    shutil.copytree(small_youcook2, tmp_path / 'media', symlinks=True)
  )


class _InterruptedError(BaseException):
  """Stands for a machine that is switched off."""


def test_an_interrupted_preparation_resumes(tmp_path, youcook2):
  """An unfinished preparation is not found; finished pieces are reused."""

  class Failing(annotated.Extractor):
    def __call__(self, *piece):
      if len(self.calls) == 3:
        raise _InterruptedError
      return super().__call__(*piece)

  first = Failing()
  with pytest.raises(_InterruptedError):
    _prepare('youcook2', youcook2, tmp_path, first)
  assert not catalog.find('clips/youcook2', tmp_path)
  kept = sorted((tmp_path / 'extracted').rglob('*.npz'))
  assert len(kept) == 3
  kept[0].write_bytes(kept[0].read_bytes()[:100])
  second = _prepare('youcook2', youcook2, tmp_path)
  assert len(second.calls) == 5 - 2
  whole = tmp_path / 'whole'
  whole.mkdir()
  assert len(_prepare('youcook2', youcook2, whole).calls) == 5
  for split in ('train', 'val'):
    one, other = (
      reader.Records(('clips/youcook2',), (split,), str(folder))
      for folder in (tmp_path, whole)
    )
    for a, b in zip(
      one.read(range(len(one))), other.read(range(len(other))), strict=True
    ):
      assert a['id'] == b['id']
      np.testing.assert_array_equal(a['spectrogram'], b['spectrogram'])
      np.testing.assert_array_equal(a['visual_3d'], b['visual_3d'])


def test_malformed_features_are_skipped(tmp_path, youcook2):
  class Wrong(annotated.Extractor):
    def __call__(self, path, start, end, frames):
      features = super().__call__(path, start, end)
      if start == 1:
        features['visual_2d'][0, 0] = np.nan
      if start == 0:
        features['visual_3d'] = features['visual_3d'][:0]
      if start == 5:
        raise OSError('the disk is gone')
      return features

  _prepare('youcook2', youcook2, tmp_path, Wrong())
  assert _skipped('youcook2', tmp_path)['unreadable'] == 2
  # One without features, an empty segment, one beyond the end of its video.
  assert _skipped('youcook2', tmp_path)['too short'] == 3
  assert catalog.find('clips/youcook2', tmp_path)


def test_no_usable_clip_is_an_error(tmp_path, youcook2):
  class Blind(annotated.Extractor):
    def __call__(self, path, start, end, frames):
      raise OSError('nothing to see')

  with pytest.raises(
    UserError, match=r'None of the 2 clips.*unreadable.*nothing to'
  ):
    _prepare('youcook2', youcook2, tmp_path, Blind())
  assert not catalog.find('clips/youcook2', tmp_path)
  (youcook2 / 'videos').rename(tmp_path / 'elsewhere')
  with pytest.raises(UserError, match='no video of the 14 annotated clips'):
    _prepare('youcook2', youcook2, tmp_path)


def test_one_stream_is_enough(tmp_path, youcook2):
  extractor = annotated.Extractor()
  extractor.widths.pop('visual_3d')
  _prepare('youcook2', youcook2, tmp_path, extractor)
  (batch,) = input_pipeline.eval_batches(
    evaluations={'y': {'datasets': ('clips/youcook2',), 'splits': ('train',)}},
    batch_size=9,
    num_frames=300,
    data_dir=str(tmp_path),
  )['y']
  assert batch['visual'].shape == (2, 6)
  np.testing.assert_allclose(np.linalg.norm(batch['visual'], axis=1), 1, 1e-6)


def test_clips_with_and_without_speech(tmp_path, youcook2, capsys):
  (youcook2 / 'youcook2_words.csv').write_text(
    'id,words\nvid-B_0,7\nvid-B_2,0\nvid_C_0,2\nmute_0,0\nvidA_0,0\n'
  )
  extractor = _prepare('youcook2', youcook2, tmp_path, speech_words=3)
  assert len(extractor.calls) == 5
  ids = {
    split: reader.Records(('clips/youcook2',), (split,), str(tmp_path)).column(
      'id'
    )
    for split in ('val', 'sounds241', 'speech241')
  }
  assert ids['sounds241'] == [b'vid-B_2']
  assert ids['speech241'] == [b'vid-B_0']
  assert len(ids['val']) == 3
  skipped = _skipped('youcook2', tmp_path)
  assert skipped['words of no clip of val'] == 2
  assert skipped['shorter than annotated, but kept'] == 1
  printed = capsys.readouterr().out
  message = (
    'sounds241: 1 of 3 clips of val, chosen by number of words, 240 fewer'
  )
  assert message in printed


def test_word_counts_without_two_kinds_of_clips(tmp_path, youcook2):
  (youcook2 / 'youcook2_words.csv').write_text('id,words\nvid-B_0,7\n')
  with pytest.raises(UserError, match=r'youcook2_words.csv: Expected clips of'):
    _prepare('youcook2', youcook2, tmp_path)


def test_missing_weights_are_named(tmp_path, youcook2):
  with pytest.raises(
    UserError, match=r'youcook_train_audio.*prepare.resnet152'
  ):
    input_pipeline.prepare(
      datasets=('clips/youcook2',),
      data_dir=str(tmp_path),
      media_dir=str(youcook2),
    )
  with pytest.raises(UserError, match=r'nowhere\.pth'):
    input_pipeline.prepare(
      datasets=('clips/youcook2',),
      data_dir=str(tmp_path),
      media_dir=str(youcook2),
      resnet152=str(tmp_path / 'nowhere.pth'),
    )


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
  """Argument -> weight file of a network with blocks (1, 1, 1, 1)."""
  folder = tmp_path_factory.mktemp('weights')
  paths = {}
  for name in ('resnet152', 'resnext101'):
    paths[name] = str(folder / f'{name}.pth')
    state = golden.visual_state_dict(name, (1, 1, 1, 1))
    torch_files.write_state_dict(paths[name], state)
  return paths


@pytest.mark.parametrize(
  'streams', [1, pytest.param(2, marks=pytest.mark.slow)]
)
def test_with_networks(tmp_path, weights, streams, monkeypatch, capsys):
  """From the command's arguments to batches, with shallow networks."""
  weights = dict(list(weights.items())[:streams])
  monkeypatch.setattr(
    feature_extractor, '_IMAGES', 2
  )  # small batches, of short clips
  monkeypatch.setattr(feature_extractor, '_CLIPS', 2)
  folder = tmp_path / 'media'
  folder.mkdir()
  (folder / 'SYNTHETIC').touch()
  expected = annotated.crosstask(folder)
  input_pipeline.prepare(
    datasets=('clips/crosstask',),
    data_dir=str(tmp_path),
    media_dir=str(folder),
    **weights,
  )
  said = "of blocks (1, 1, 1, 1). The authors' has blocks (3, 8, 36, 3)"
  assert said in capsys.readouterr().out
  batches = input_pipeline.eval_batches(
    evaluations={'c': {'datasets': ('clips/crosstask',), 'splits': ('val',)}},
    batch_size=8,
    num_frames=100,
    data_dir=str(tmp_path),
  )['c']
  assert batches.fingerprint.startswith('synthetic-')
  (batch,) = batches
  extract = feature_extractor.Extractor(**weights)
  wanted = {clip: row for split, clip, *row in expected if split == 'val'}
  assert set(batch['id']) == set(wanted)
  for clip, visual in zip(batch['id'], batch['visual'], strict=True):
    video, start, end, _ = wanted[clip]
    rows = extract(folder / f'videos/{video}.mkv', start, end)
    assert len(rows['visual_2d']) == round(end - start)
    if streams == 2:
      assert len(rows['visual_3d']) == np.ceil(1.5 * (end - start))
    pooled = [array.astype('f4').max(0) for array in rows.values()]
    pooled = [vector / np.linalg.norm(vector) for vector in pooled]
    np.testing.assert_allclose(visual, np.concatenate(pooled), atol=1e-6)
  # Extracted features are cached per set of weights.
  (cache,) = (tmp_path / 'extracted').glob('*/')
  assert len(list(cache.rglob('*.npz'))) == len(expected)
