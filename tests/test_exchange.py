"""Importing and exporting the authors' checkpoints."""

import json
import re

import jax
import numpy as np
import pytest

import main
from avl_jax import UserError, checkpoint, exchange, model, release, train
from avl_jax.release import weights
from tests import convert, golden

_KEYS = json.loads((golden.ROOT / 'I_state_dict.json').read_text())['AVLnet']
_SMALL = {128: 4, 256: 6, 512: 8, 1024: 10, 4096: 12}  # released width -> ours


def small_state():
  """The release's keys with small shapes, and its dead entries not at rest."""
  keys = [key for key, *_ in _KEYS['keys']]
  state = {}
  for key, shape, dtype, _ in _KEYS['keys']:
    small = [_SMALL.get(n, n) for n in shape]
    state[key] = np.asarray(golden.weight(key, small, keys)).astype(dtype)
    if key.endswith('num_batches_tracked'):
      state[key] = np.array(123456789012, dtype)
  state['DAVEnet.batchnorm1.weight'] = np.array([0.75], np.float32)
  return state


@pytest.fixture(scope='module')
def imported(tmp_path_factory):
  """(workdir, state dict) of a small checkpoint, imported by the program."""
  folder = tmp_path_factory.mktemp('imported')
  state = small_state()
  release.write_state_dict(folder / 'AVLnet_release.pth', state)
  main.main(
    [
      'main.py',
      '--mode=import',
      f'--workdir={folder}/run',
      f'--config.release.file={folder}/AVLnet_release.pth',
    ]
  )
  return folder / 'run', state


def _assert_same(actual, expected):
  assert list(actual) == list(expected)
  for key, value in expected.items():
    np.testing.assert_array_equal(actual[key], value, key, strict=True)


def test_the_table_has_the_release_keys_in_their_order():
  table = weights.VARIANTS['AVLnet'].weights
  assert list(table) == [key for key, *_ in _KEYS['keys']]
  assert len(table) == 141
  unused = [key for key, weight in table.items() if weight.path is None]
  assert all(
    key.startswith('DAVEnet.batchnorm1.') or key.endswith('_tracked')
    for key in unused
  )
  assert len(unused) == 5 + 21
  shapes = jax.eval_shape(
    lambda: model.init_variables(model.AVLnet(structure='release'), 4096)
  )
  arrays = {
    key: np.broadcast_to(np.zeros((), dtype), shape)
    for key, shape, dtype, _ in _KEYS['keys']
  }
  expected = jax.tree.map(lambda x: (x.shape, x.dtype), shapes)
  ours = {
    weight.path: (
      np.squeeze(arrays[key], weight.ones).T.shape,
      arrays[key].dtype,
    )
    for key, weight in table.items()
    if weight.path
  }
  assert ours == {
    tuple(part.key for part in path): leaf
    for path, leaf in jax.tree.leaves_with_path(
      expected, is_leaf=lambda x: isinstance(x, tuple)
    )
  }


def test_every_number_arrives_where_the_release_applies_it():
  """Naive: each kernel's element by element, the others as they are."""
  state = small_state()
  variables, unused = weights.variables_of(
    state, weights.VARIANTS['AVLnet'].weights
  )
  assert set(unused) < set(state)
  encoder = variables['params']['audio_encoder']
  kernel = state['DAVEnet.layer2.0.conv1.weight']
  out, into, _, time = kernel.shape
  for i, j, k in np.ndindex(out, into, time):
    ours = encoder['stage2_block0']['conv1']['kernel'][k, j, i]
    assert ours == kernel[i, j, 0, k]
  stem = state['DAVEnet.conv1.weight']
  for i, j in np.ndindex(stem.shape[0], stem.shape[2]):
    assert encoder['stem']['kernel'][j, i] == stem[i, 0, j, 0]
  shortcut = state['DAVEnet.layer3.0.downsample.0.weight']
  np.testing.assert_array_equal(
    encoder['stage3_block0']['shortcut']['kernel'], shortcut[:, :, 0, 0].T
  )
  statistics = variables['batch_stats']['audio_encoder']['stem_norm']
  np.testing.assert_array_equal(
    statistics['var'], state['DAVEnet.bn1.running_var']
  )


def test_round_trip_is_exact(imported, tmp_path):
  workdir, state = imported
  path = tmp_path / 'again.pth'
  arguments = ['--mode=export', f'--workdir={workdir}']
  main.main(['main.py', *arguments, f'--config.release.file={path}'])
  _assert_same(release.read_state_dict(path), state)


def test_the_import_lists_every_entry(imported):
  workdir, state = imported
  report = (workdir / 'import.md').read_text()
  for key, value in state.items():
    norm = np.linalg.norm(value.astype(np.float64).ravel())
    (line,) = (
      line
      for line in report.replace('\\', '').splitlines()
      if line.startswith(f'| {key} |')
    )
    assert f'{norm:.6g}' in line
  assert report.count('never applied, kept') == 5 + 21
  assert json.loads((workdir / 'config.json').read_text())['model'] == {
    **checkpoint.load(workdir)[2]['model'],
    'structure': 'release',
    'embed_dim': 12,
    'widths': [4, 4, 6, 8, 10],
  }


def test_a_new_run_is_exported_with_entries_at_rest(tmp_path):
  network = model.AVLnet(
    embed_dim=8, widths=(4, 4, 4, 4, 6), structure='release'
  )
  variables = model.init_variables(network, 5)
  table = weights.VARIANTS['AVLnet'].weights
  state = weights.state_dict_of(variables, table, {})
  again, unused = weights.variables_of(state, table)
  jax.tree.map(np.testing.assert_array_equal, again, variables)
  assert {key: value.tolist() for key, value in unused.items() if value.any()}
  for key, rest in [('weight', 1), ('bias', 0), ('running_mean', 0)]:
    assert unused[f'DAVEnet.batchnorm1.{key}'] == [rest]
  assert unused['DAVEnet.batchnorm1.running_var'] == [1]
  assert unused['DAVEnet.bn1.num_batches_tracked'] == 0


def test_refuses_what_it_cannot_write_or_find(tmp_path):
  with pytest.raises(UserError, match='no checkpoint in'):
    exchange.export_release(file='x.pth', workdir=tmp_path)
  with pytest.raises(UserError, match='name the file'):
    exchange.export_release(file='', workdir=tmp_path)
  with pytest.raises(UserError, match='no file'):
    exchange.import_release(file='', workdir=tmp_path, model={})
  description = checkpoint.describe(
    {'embed_dim': 8, 'widths': (4, 4, 4, 4, 6)}, 5, 'data'
  )
  run = checkpoint.Checkpoints(tmp_path, description)
  variables = model.init_variables(model.AVLnet(**description['model']), 5)
  run.save(train.TrainState(np.int32(0), variables, {}), {})
  run.close()
  with pytest.raises(UserError, match="none of the release's: structure"):
    exchange.export_release(file='x.pth', workdir=tmp_path)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda s: s.pop('GU_video.fc.bias'), 'lacks GU_video.fc.bias and has'),
    (
      lambda s: s.update({f'module.{k}': s.pop(k) for k in list(s)}),
      r'lacks DAVEnet\..* and 138 more',
    ),
    (
      lambda s: s.update({'DAVEnet_projection.bias': np.zeros(3, 'f4')}),
      'DAVEnet_projection.bias has shape .3,.*expected .12,',
    ),
    (
      lambda s: s.update({'GU_audio.fc.bias': np.zeros(10, 'f2')}),
      'GU_audio.fc.bias .*float16.*float32',
    ),
    (
      lambda s: s.update({'GU_audio.fc.bias': np.full(10, np.nan, 'f4')}),
      'GU_audio.fc.bias is not finite',
    ),
    (
      lambda s: s.update({'DAVEnet.conv1.weight': np.ones((4, 2, 40, 1))}),
      r'release\.pth: ',
    ),
  ],
)
def test_refuses_what_does_not_fit(tmp_path, change, message):
  state = small_state()
  change(state)
  release.write_state_dict(tmp_path / 'release.pth', state)
  with pytest.raises(release.ReleaseError, match=message):
    exchange.import_release(
      file=str(tmp_path / 'release.pth'), workdir=tmp_path / 'run', model={}
    )
  assert not (tmp_path / 'run').exists()


def test_refuses_a_workdir_with_checkpoints(imported):
  workdir, _ = imported
  options = checkpoint.tuples(checkpoint.load(workdir)[2]['model'])
  with pytest.raises(UserError, match='has checkpoints already'):
    exchange.import_release(
      file=str(workdir.parent / 'AVLnet_release.pth'),
      workdir=workdir,
      model=options,
    )


@pytest.mark.parametrize('is_zip', [False, True])
def test_golden_weights_by_way_of_torch(tmp_path, is_zip):
  """Bytes that PyTorch wrote become the variables that golden B, C, D use."""
  torch = pytest.importorskip('torch')
  state = golden.state_dict('AVLnet', embd_dim=256)
  path = tmp_path / 'AVLnet_release.pth'
  torch.save(
    {key: torch.from_numpy(value) for key, value in state.items()},
    path,
    _use_new_zipfile_serialization=is_zip,
  )
  if is_zip:
    read, _ = weights.variables_of(
      release.read_state_dict(path), weights.VARIANTS['AVLnet'].weights
    )
  else:
    exchange.import_release(file=str(path), workdir=tmp_path / 'run', model={})
    network, read, _ = checkpoint.load(tmp_path / 'run')
    assert network.embed_dim == 256
    assert network.structure == 'release'
  jax.tree.map(
    np.testing.assert_array_equal, read, convert.golden_variables(256)
  )


def test_torch_reads_what_is_exported(tmp_path):
  torch = pytest.importorskip('torch')
  state = small_state()
  path = tmp_path / 'export.pth'
  release.write_state_dict(path, state)
  for only in (True, False):
    loaded = torch.load(path, weights_only=only)
    _assert_same({k: v.numpy() for k, v in loaded.items()}, state)
  layer = torch.nn.BatchNorm2d(1)
  prefix = 'DAVEnet.batchnorm1.'
  layer.load_state_dict(
    {re.sub(prefix, '', k): loaded[k] for k in loaded if prefix in k}
  )
  assert layer.weight.item() == 0.75
