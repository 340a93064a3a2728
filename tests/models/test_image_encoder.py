"""The image encoder in the loop, and Places from files to the tables."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

import main
from avl_jax import parallel, torch_files
from avl_jax.backbones import resnet
from avl_jax.checkpoints import checkpointer, loading, metadata
from avl_jax.errors import ConfigError
from avl_jax.models import heads
from avl_jax.models.avlnet import AVLnet, init_variables
from avl_jax.models.expressions import combine
from avl_jax.reports import thesis_tables
from avl_jax.train import initialization
from avl_jax.train import step as training_step
from configs import avlnet
from configs import places as places_config
from tests.helpers import golden, places_files

BLOCKS = (1, 1, 1, 1)
SMALL = {'embed_dim': 6, 'widths': (4, 4), 'blocks': (1,)}
AVLNET = dict(avlnet.get_config().model)
WITH_IMAGES = SMALL | {'image_blocks': BLOCKS}


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
  """PyTorch file of a small ResNet with golden weights."""
  path = tmp_path_factory.mktemp('resnet') / 'resnet.pth'
  state = golden.visual_state_dict('resnet152', BLOCKS)
  torch_files.write_state_dict(path, state)
  return path


def _begin(weights, **options):
  model = AVLnet(**WITH_IMAGES | options)
  description = metadata.describe(WITH_IMAGES, resnet.WIDTH, 'data')
  pretrained = initialization.load_pretrained(
    model, image_weights=weights, initial_workdir=''
  )
  return initialization.initialize(model, description, pretrained)


@pytest.fixture(scope='module')
def variables(weights):
  """Variables of a model whose image encoder is loaded from the file."""
  return _begin(weights)


def _batch(count=8, size=32):
  rng = np.random.default_rng(7)
  return {
    'spectrogram': rng.normal(-40, 9, (count, 24, 40)).astype(np.float32),
    'num_frames': rng.integers(5, 24, count, dtype=np.int32),
    'image': rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8),
  }


def _flat(tree):
  return traverse_util.flatten_dict(jax.tree.map(np.asarray, tree), sep='/')


def test_pictures_are_embedded_as_their_features(weights, variables):
  """Compares with features computed by hand, and with features in a batch."""
  model, batch = AVLnet(**WITH_IMAGES), _batch(3)
  embed = jax.jit(functools.partial(model.apply, train=False))
  found = embed(variables, batch)
  network, loaded = resnet.load(weights)
  encode = jax.jit(functools.partial(network.apply, train=False))
  features = np.asarray(encode(loaded, batch['image']))
  visual = features / np.linalg.norm(features, axis=1, keepdims=True)
  by_hand = heads.Embedding(6).apply(
    {'params': variables['params']['video_head']}, visual
  )
  np.testing.assert_allclose(found['video'], by_hand, rtol=1e-4, atol=1e-6)
  assert np.abs(by_hand).max() > 1e-2
  del batch['image']
  given = embed(variables, batch | {'visual': visual})
  np.testing.assert_allclose(given['video'], by_hand, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(given['audio'], found['audio'], rtol=1e-5)


def test_zeros_are_normalised_to_zeros():
  x = jnp.array([[3.0, 4.0], [0.0, 0.0]])
  np.testing.assert_allclose(
    heads.l2_normalize(x), [[0.6, 0.8], [0, 0]], rtol=1e-6
  )
  gradient = jax.grad(lambda x: heads.l2_normalize(x).sum())(x)
  np.testing.assert_allclose(gradient[0], [0.032, -0.024], rtol=1e-5)
  assert np.isfinite(gradient[1]).all()


@pytest.mark.slow
def test_a_step_does_not_depend_on_the_devices(variables, use_devices):
  """The encoder's BatchNorm statistics are computed over the whole batch."""
  model = AVLnet(**WITH_IMAGES, frozen_image=False)
  optimizer = optax.sgd(1e-2)
  step = training_step.make_step(
    model, optimizer, pairs=(('audio', 'video'),), margin=0.001
  )
  after = []
  for count in (1, 4):
    use_devices(count)
    # A copy: the step reuses the memory.
    copy = jax.tree.map(np.array, variables)
    state = training_step.create_state(copy, optimizer)
    batch = parallel.shard(_batch())
    state, _ = parallel.pmap_step(step)(state, batch)
    after.append(_flat(jax.block_until_ready(state).variables))
  before = _flat(variables)
  for name, alone in after[0].items():
    assert (alone != before[name]).any(), name
    np.testing.assert_allclose(
      after[1][name], alone, rtol=1e-3, atol=1e-5, err_msg=name
    )


def test_initial_weights_of_the_encoder(weights, variables, tmp_path):
  with pytest.raises(ConfigError, match='random weights and would keep'):
    _begin('')
  with pytest.raises(ConfigError, match=r'blocks \(1, 1, 1, 1\), but.*\(2, 1'):
    _begin(weights, image_blocks=(2, 1, 1, 1))
  with pytest.raises(ConfigError, match=r'the model takes \(\)'):
    _begin(weights, image_blocks=())
  with pytest.raises(torch_files.ReleaseError, match='no file'):
    _begin(tmp_path / 'none.pth')
  for collection, tree in resnet.load(weights)[1].items():
    expected, found = _flat(tree), _flat(variables[collection]['image_encoder'])
    assert found.keys() == expected.keys()
    for name, array in expected.items():
      np.testing.assert_array_equal(found[name], array)


def test_pictures_need_an_encoder():
  model = AVLnet(**SMALL)
  variables = init_variables(model, 5)
  embeddings = model.apply(variables, _batch(2), train=False)
  with pytest.raises(ConfigError, match=r'Images need.*model\.image_blocks'):
    combine(embeddings, 'video')


def test_configs_of_places():
  rows = {
    (row.recipe, row.evaluation)
    for table in thesis_tables.TABLES
    for row in table.rows
  }
  filled = set()
  for argument in places_config.ARGUMENTS:
    config = places_config.get_config(argument)
    language, _, regime = argument.partition(',')
    filled.add((config.recipe, f'places_{language}'))
    assert list(config.eval_data.evaluations) == [f'places_{language}']
    rate = 1e-4 if regime == 'trainable' else 1e-3
    assert config.optimizer.learning_rate == rate
    assert config.model.frozen_image == (regime != 'trainable')
    assert config.train_data.num_frames == config.eval_data.num_frames == 2_000
    assert bool(config.initial_workdir) == (regime != 'scratch')
  wanted = {row for row in rows if row[1].startswith('places_') and row[0]}
  assert filled == wanted
  network = AVLnet(**places_config.get_config('en').model)
  shapes = jax.eval_shape(lambda: init_variables(network, resnet.WIDTH))
  assert len(_shapes_of(shapes, 'image_encoder', 'stage3_block')) == 36
  assert shapes['params']['video_head']['linear']['kernel'].shape == (
    2048,
    4096,
  )
  for wrong in ('en,scratch', 'fr', 'en,trainable,x', ''):
    with pytest.raises(ValueError, match='Choose one of en; en,trainable'):
      places_config.get_config(wrong)


def _shapes_of(tree, module, beginning):
  return [name for name in tree['params'][module] if name.startswith(beginning)]


def _run(*arguments):
  main.main(['main.py', *arguments, '--config.compilation_cache='])


def _write_pretrained(workdir):
  """Writes a checkpoint of AVLnet for 2-D features."""
  options = {**AVLNET, 'embed_dim': 12, 'widths': (4, 4), 'blocks': (1,)}
  variables = init_variables(AVLnet(**options), resnet.WIDTH, seed=5)
  description = metadata.describe(options, resnet.WIDTH, 'howto')
  with checkpointer.Checkpoints(workdir, description) as checkpoints:
    state = training_step.TrainState(np.int32(0), variables, {}, np.int32(0))
    checkpoints.save(state, {})
  return _flat(variables)


@pytest.mark.slow
def test_from_files_to_the_tables(tmp_path, weights, monkeypatch, use_devices):
  """Two steps each, frozen and trainable; synthetic data fill no table cell."""
  use_devices(2)
  monkeypatch.chdir(pathlib.Path(main.__file__).parent)
  places_files.write(tmp_path / 'media', 'ja', train=4, val=3)
  source = _write_pretrained(tmp_path / 'runs/avlnet_2d')
  for argument in ('ja', 'ja,trainable'):
    workdir = tmp_path / f'runs/{argument}'
    _run(
      f'--config=configs/places.py:{argument}',
      f'--workdir={workdir}',
      f'--config.data_dir={tmp_path}/records',
      f'--config.prepare.media_dir={tmp_path}/media',
      f'--config.initial_workdir={tmp_path}/runs/avlnet_2d',
      f'--config.image_weights={weights}',
      '--config.num_steps=2',
      '--config.train_data.batch_size=4',
      '--config.train_data.num_frames=64',
      '--config.eval_data.num_frames=64',
      '--config.eval_data.batch_size=4',
      '--config.model.embed_dim=12',
      '--config.model.widths=(4, 4)',
      '--config.model.blocks=(1,)',
      '--config.model.image_blocks=(1, 1, 1, 1)',
      '--config.model.dtype=float32',
    )
    record = json.loads((workdir / 'evaluation.json').read_text())
    assert record['facts']['recipe'].startswith('places/ja')
    assert {row['gallery'] for row in record['rows']} == {3}
    tasks = {row['task'] for row in record['rows']}
    assert tasks == {task.title for task in thesis_tables.A_V}
    # The checkpoint is sufficient to evaluate it again.
    model, variables, _ = loading.load(workdir)
    assert (model.image_blocks, model.frozen_image) == (
      BLOCKS,
      argument == 'ja',
    )
    _check_moved(_flat(variables), source, weights, argument == 'ja')
  record = workdir / 'evaluation.json'
  before = record.read_text()
  record.unlink()
  _run('--mode=eval', f'--workdir={workdir}')
  assert record.read_text() == before
  _run('--mode=reproduce', f'--workdir={tmp_path}/runs')
  page = (tmp_path / 'runs/thesis.md').read_text()
  for argument in ('ja', 'ja,trainable'):
    assert f'{argument}/evaluation.json | SYNTHETIC: the model was' in page
  assert '3 of 1000' not in page


def _check_moved(found, source, weights, frozen):
  """Adam changes each value by at most about the learning rate per step."""
  loaded = {
    f'{collection}/image_encoder/{name}': array
    for collection, tree in resnet.load(weights)[1].items()
    for name, array in _flat(tree).items()
  }
  for name, array in (source | loaded).items():
    moved = np.abs(found[name] - array).max()
    if name in loaded and frozen:
      assert found[name].tobytes() == array.tobytes()
    else:
      assert moved > 0, name
    if name.startswith('params'):
      assert moved < (2.1e-3 if frozen else 2.1e-4), name
