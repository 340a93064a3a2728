"""Importing what PyTorch wrote; reading with PyTorch what was exported."""

import re

import jax
import numpy as np
import pytest

from avl_jax import torch_files
from avl_jax.checkpoints import loading
from avl_jax.modes import convert
from avl_jax.torch_files import weight_map
from tests.helpers import convert as golden_convert
from tests.helpers import golden, small_release


@pytest.mark.parametrize(
  ('case', 'sub', 'is_zip'),
  [
    ('avlnet_eval', 'small', False),
    ('avlnet_eval', 'small', True),
    ('text_models', 'tri_small', False),
    ('text_models', 'fused_small', False),
  ],
)
def test_golden_weights_by_way_of_torch(tmp_path, case, sub, is_zip):
  """Bytes that PyTorch wrote become the variables that the golden cases use."""
  torch = pytest.importorskip('torch')
  net = golden.load(case)[0]['sub'][sub]['params']['net']
  variant = golden_convert.variant(net)
  state = golden.state_dict(variant, **net)
  path = tmp_path / 'AVLnet_release.pth'
  torch.save(
    {key: torch.from_numpy(value) for key, value in state.items()},
    path,
    _use_new_zipfile_serialization=is_zip,
  )
  if is_zip:
    read, _ = weight_map.variables_of(
      torch_files.read_state_dict(path), weight_map.VARIANTS[variant]
    )
  else:
    convert.import_release(file=str(path), workdir=tmp_path / 'run', model={})
    network, read, _ = loading.load(tmp_path / 'run')
    for name, value in golden_convert.options(net).items():
      assert getattr(network, name) == value
  jax.tree.map(
    np.testing.assert_array_equal, read, golden_convert.golden_variables(net)
  )


def test_an_apex_checkpoint_is_imported(tmp_path):
  torch = pytest.importorskip('torch')
  state = small_release.small_state()
  net = {key: torch.from_numpy(value) for key, value in state.items()}
  weight = torch.nn.Parameter(net['GU_video.fc.bias'])
  adam = torch.optim.Adam([weight])
  weight.sum().backward()
  adam.step()
  amp = {'loss_scaler0': {'loss_scale': 65536.0, 'unskipped': 1}}
  path = tmp_path / 'amp_checkpoint.pt'
  torch.save({'net': net, 'optimizer': adam.state_dict(), 'amp': amp}, path)
  convert.import_release(file=str(path), workdir=tmp_path / 'run', model={})
  again = tmp_path / 'again.pth'
  convert.export_release(file=str(again), workdir=tmp_path / 'run')
  state['GU_video.fc.bias'] = weight.detach().numpy()
  loaded = torch.load(again, weights_only=True)
  small_release.assert_same({k: v.numpy() for k, v in loaded.items()}, state)


def test_torch_reads_what_is_exported(tmp_path):
  torch = pytest.importorskip('torch')
  state = small_release.small_state()
  path = tmp_path / 'export.pth'
  torch_files.write_state_dict(path, state)
  for only in (True, False):
    loaded = torch.load(path, weights_only=only)
    small_release.assert_same({k: v.numpy() for k, v in loaded.items()}, state)
  layer = torch.nn.BatchNorm2d(1)
  prefix = 'DAVEnet.batchnorm1.'
  layer.load_state_dict(
    {re.sub(prefix, '', k): loaded[k] for k in loaded if prefix in k}
  )
  assert layer.weight.item() == 0.75
