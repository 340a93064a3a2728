"""Training batches of HowTo100M: clips around captions, and random clips."""

import jax
import numpy as np
import pytest
from array_record.python import array_record_module

import input_pipeline
from avl_jax import parallel
from avl_jax.models import avlnet
from avl_jax.train import optimizer as optimizers
from avl_jax.train import step as training_step
from input_pipeline.records import reader
from input_pipeline.transforms import cutters
from tests.helpers import howto100m_files


def _word_vectors(folder, seconds):
  """Writes the vector (n, 1) for the word of the n-th caption."""
  lines = [f'w{3 * n} {n} 1\n' for n in range((seconds - 3) // 3)]
  path = folder / 'captions.vec'
  path.write_text(f'{len(lines)} 2\n' + ''.join(lines))
  return {'vectors': str(path), 'max_words': 4}


def test_batches_around_captions(tmp_path):
  howto100m_files.prepare_captioned(tmp_path, 3, 30)
  words = _word_vectors(tmp_path, 30)
  options = {'clips_per_example': 4, 'num_frames': 1000, 'min_time': 8.0}
  batches = howto100m_files.train_batches(
    tmp_path, batch_size=3, words=words, **options
  )
  data = reader.Records(('videos/howto100m',), ('train',), str(tmp_path))
  videos = {v['id'].decode(): v for v in data.read(range(len(data)))}
  (batch,) = batches.from_step(0, 1)
  windows = set()
  for i, video in enumerate(batch['id']):
    # Nine seconds from the start of a caption.
    assert batch['num_frames'][i] in (898, 900)
    frames = videos[video]['spectrogram']
    first = batch['spectrogram'][i, 0]
    (start,) = np.flatnonzero((frames == first).all(1))
    assert start in {max(0, 100 * s - 2) for s in range(0, 30, 3)}
    windows.add((video, int(start)))
    # Words of the window: three captions, in order of time.
    spoken = -(-start // 300) + np.arange(3)
    np.testing.assert_array_equal(batch['words'][i, :3, 0], spoken)
    np.testing.assert_array_equal(batch['words'][i, :, 1], [1, 1, 1, 0])
  assert len(batch['id']) == 12
  assert len(windows) > 6
  (again,) = batches.from_step(0, 1)
  np.testing.assert_array_equal(batch['spectrogram'], again['spectrogram'])
  (plain,) = howto100m_files.train_batches(
    tmp_path, batch_size=3, **options
  ).from_step(0, 1)
  assert plain.keys() == batch.keys() - {'words'}
  np.testing.assert_array_equal(batch['spectrogram'], plain['spectrogram'])
  joined = howto100m_files.train_batches(
    tmp_path, batch_size=3, words=words, word_order='release', **options
  ).batch(0)
  assert not np.array_equal(joined['words'], batch['words'])
  np.testing.assert_array_equal(
    np.sort(joined['words'][:, :3], 1), batch['words'][:, :3]
  )
  with pytest.raises(input_pipeline.DataError, match=r'min_time.*vectors=.{2}'):
    howto100m_files.train_batches(
      tmp_path, batch_size=3, words=words, **options | {'min_time': 0.0}
    )


def _naive_clip(example, start, num_frames):
  """Cuts a clip with plain NumPy."""
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
  """Also if prefetched by threads into reused buffers."""
  howto100m_files.prepare_captioned(tmp_path, 6, 30)
  batches = howto100m_files.train_batches(
    tmp_path, batch_size=3, clips_per_example=5, num_frames=1000
  )
  data = reader.Records(('videos/howto100m',), ('train',), str(tmp_path))
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
  """Compression would make these files a fifth smaller."""
  howto100m_files.prepare_captioned(tmp_path, 2, 30)
  files = list(tmp_path.rglob('*.array_record*'))
  assert sum(f.stat().st_size for f in files) > 2 * 30 * (100 * 80 + 2.5 * 4096)
  for file in files:
    reader = array_record_module.ArrayRecordReader(str(file))
    assert 'uncompressed' in reader.writer_options_string()
    reader.close()


@pytest.mark.slow
def test_full_batches_of_howto100m(tmp_path):
  """128 videos x 32 clips, two steps of a narrow model on eight devices."""
  howto100m_files.prepare_captioned(tmp_path, 200, 15)
  batches = howto100m_files.train_batches(
    tmp_path, batch_size=128, clips_per_example=32, num_frames=1000
  )
  network = avlnet.AVLnet(embed_dim=16, widths=(8, 8, 8, 8, 8))
  variables = avlnet.init_variables(network, batches.visual_width)
  optimizer = optimizers.make_optimizer(learning_rate=1e-3)
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
