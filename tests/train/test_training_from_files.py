"""Training and evaluation from files equal those from the files' arrays."""

import pickle

import jax
import numpy as np
import pytest
from flax import linen as nn

import input_pipeline
import main
from avl_jax import parallel
from avl_jax.checkpoints import loading
from avl_jax.models import avlnet
from avl_jax.retrieval import evaluation, metrics
from avl_jax.train import optimizer as optimizers
from avl_jax.train import step as training_step
from tests.helpers import convert, golden, golden_training

FRAMES, STEPS, BATCH = 64, 3, 4
SMALL = {'embed_dim': 8, 'widths': (4, 6), 'blocks': (1,), 'pooling': 'masked'}
AUDIO_VIDEO = (('audio', 'video'),)
DATA = {'datasets': ('clips/youcook2',), 'data_dir': ''}


def _arrays(i):
  """The i-th clip, as the release's files hold them."""
  return {
    'id': f'clip{i}',
    '2d': np.abs(golden.normal(f'from files/2d{i}', (2048,))),
    '3d': golden.normal(f'from files/3d{i}', (2048,)).astype('f2'),
    'audio': 9 * golden.normal(f'from files/audio{i}', (40, 50 + 3 * i)) - 40,
  }


@pytest.fixture(scope='module', params=['numpy', 'torch'])
def data_dir(tmp_path_factory, request):
  """The records of twelve clips, of arrays or of PyTorch's tensors."""
  folder = tmp_path_factory.mktemp('clips')
  clips = [_arrays(i) | {'caption': 'stir'} for i in range(STEPS * BATCH)]
  if request.param == 'torch':
    torch = pytest.importorskip('torch')
    for clip in clips:
      clip['audio'] = torch.from_numpy(clip['audio'])
  for split in ('train', 'val'):
    path = folder / f'youcook_{split}_audio.pkl'
    path.write_bytes(pickle.dumps(clips))
  input_pipeline.prepare(
    datasets=DATA['datasets'], data_dir=str(folder), media_dir=str(folder)
  )
  return str(folder)


def _batch_of_arrays(ids):
  """The batch of the contract, clip by clip, without the program."""
  rows = []
  for name in ids:
    clip = _arrays(int(name.removeprefix('clip')))
    audio = clip['audio'].T[:FRAMES]
    streams = [clip[key].astype('f4') for key in ('2d', '3d')]
    rows.append(
      {
        'spectrogram': np.pad(audio, ((0, FRAMES - len(audio)), (0, 0))),
        'num_frames': np.int32(len(audio)),
        'visual': np.concatenate([x / np.linalg.norm(x) for x in streams]),
      }
    )
  return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def _trained(batches):
  network = avlnet.AVLnet(**SMALL)
  optimizer = optimizers.make_optimizer(learning_rate=1e-2)
  step = parallel.pmap_step(
    training_step.make_step(network, optimizer, pairs=AUDIO_VIDEO, margin=0.001)
  )
  variables = avlnet.init_variables(network, 4096, seed=1)
  state = training_step.create_state(variables, optimizer)
  losses = []
  for batch in batches:
    state, numbers = step(state, parallel.shard(batch))
    losses.append(float(numbers['loss']))
  return jax.device_get(state), losses


def test_an_epoch_from_a_file_is_one_of_its_arrays(data_dir, use_devices):
  use_devices(2)
  batches = input_pipeline.train_batches(
    **DATA | {'data_dir': data_dir},
    split='train',
    batch_size=BATCH,
    clips_per_example=0,
    num_frames=FRAMES,
    augmentation={},
    distinct_groups=False,
    seed=1,
  )
  from_file = list(batches.from_step(0, STEPS))
  ids = [batch.pop('id').tolist() for batch in from_file]
  assert len({name for batch in ids for name in batch}) == STEPS * BATCH
  state, losses = _trained(from_file)
  expected, expected_losses = _trained(map(_batch_of_arrays, ids))
  np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
  # Adam's first steps amplify what is near zero.
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4),
    state.variables,
    expected.variables,
  )
  assert losses[0] != losses[1]


def test_an_evaluation_from_a_file_is_one_of_its_arrays(data_dir, use_devices):
  use_devices(2)
  network = avlnet.AVLnet(**SMALL)
  variables = avlnet.init_variables(network, 4096, seed=1)
  batches = input_pipeline.eval_batches(
    evaluations={'yc': {'datasets': DATA['datasets'], 'splits': ('val',)}},
    batch_size=5,
    num_frames=FRAMES,
    data_dir=data_dir,
  )
  results = evaluation.make_evaluate(network, batches, tasks=AUDIO_VIDEO)(
    variables
  )
  ids = [f'clip{i}' for i in range(STEPS * BATCH)]
  embeddings = network.apply(variables, _batch_of_arrays(ids), train=False)
  scores = np.asarray(embeddings['audio'] @ embeddings['video'].T)
  ranks = metrics.ranks(*metrics.counts(scores, np.arange(len(ids))))
  (result,) = results
  assert dict(zip(result.ids, result.ranks, strict=True)) == dict(
    zip(ids, ranks, strict=True)
  )
  assert len(set(ranks)) > 3
  summary = metrics.summary(ranks)
  for name in ('R@1', 'R@5', 'R@10', 'median_rank'):
    assert result.results[0].metric(name) == summary[name]


_TRAJECTORY, _TRAJECTORY_ARRAYS = golden.load('trajectory')


@pytest.mark.slow
@pytest.mark.parametrize('sub', _TRAJECTORY['sub'])
def test_an_imported_checkpoint_meets_golden_losses(tmp_path, sub, use_devices):
  """Steps of our own from a file that PyTorch wrote, against a trajectory."""
  torch = pytest.importorskip('torch')
  use_devices(1)
  params = _TRAJECTORY['sub'][sub]['params']
  state = golden.state_dict('AVLnet', **params['net'])
  file = tmp_path / 'AVLnet_release.pth'
  torch.save({k: torch.from_numpy(v) for k, v in state.items()}, file)
  frozen = params['mode'] == 'eval'
  main.main(
    [
      *('main.py', '--mode=import', f'--workdir={tmp_path}/run'),
      *(f'--config.release.file={file}', '--config.compilation_cache='),
      f'--config.model.frozen_statistics={frozen}',
      f'--config.model.pooling={"masked" if frozen else "mean"}',
      '--config.model.dtype=float32',
    ]
  )
  network, variables, _ = loading.load(tmp_path / 'run')
  assert network.frozen_statistics == frozen
  optimizer = optimizers.make_optimizer(learning_rate=params['optimizer']['lr'])
  step = parallel.pmap_step(
    training_step.make_step(
      network, optimizer, pairs=AUDIO_VIDEO, margin=params['margin']
    )
  )
  suffixes = golden.batches_of(_TRAJECTORY['sub'][sub])
  train_state = training_step.create_state(variables, optimizer)
  losses = []
  for i in range(params['steps']):
    batch = convert.golden_batch(
      _TRAJECTORY['sub'][sub]['inputs'],
      params['nframes'],
      suffixes[i % len(suffixes)],
    )
    with nn.intercept_methods(golden_training.convolve_by_matmul):
      train_state, numbers = step(train_state, parallel.shard(batch))
    losses.append(float(numbers['loss']))
  golden_training.assert_losses(
    losses,
    _TRAJECTORY_ARRAYS[f'{sub}/loss_f64'],
    golden_training.FLOAT32[sub],
  )
