"""The model against the golden numbers of the authors' code, on this device."""

import contextlib
import functools
import pathlib
from collections.abc import Callable

import jax
import numpy as np

from avl_jax import losses
from avl_jax.models import avlnet
from benchmarks.gpu.arithmetic import compare
from benchmarks.gpu.parts import Sizes

GOLDEN = pathlib.Path(__file__).parents[2] / 'tests' / 'golden'
# Differences as parts of the largest value; bfloat16 has 8 bits.
ALLOWED = {
  ('float32', 'highest'): 2e-5,
  ('bfloat16', 'usual'): 5e-2,
}


def _precision(name: str) -> contextlib.AbstractContextManager:
  if name == 'usual':
    return contextlib.nullcontext()
  return jax.default_matmul_precision(name)


def evaluation(sub: str, dtype: str, precision: str) -> list[dict]:
  """Embeddings of a golden case.

  Args:
    sub: its name.
    dtype: compute type.
    precision: of products, see `ALLOWED`.
  """
  from tests.helpers import convert, golden

  described, arrays = golden.load('avlnet_eval')
  case, expected = described['sub'][sub], golden.sub_arrays(arrays, sub)
  net = case['params']['net']
  model = avlnet.AVLnet(**convert.options(net), dtype=dtype)
  batch = convert.golden_batch(case['inputs'], case['params']['nframes'])
  apply = jax.jit(functools.partial(model.apply, train=False))
  with _precision(precision):
    found = apply(convert.golden_variables(net), batch)
  return [
    {
      'what': name,
      **compare(found[name], expected[name], ALLOWED[dtype, precision]),
    }
    for name in ('audio', 'video')
  ]


def training_step(sub: str, dtype: str, precision: str) -> list[dict]:
  """Loss, gradients and statistics of a golden training step."""
  from tests.helpers import convert, golden

  described, arrays = golden.load('train_step')
  case, expected = described['sub'][sub], golden.sub_arrays(arrays, sub)
  params = case['params']
  model = avlnet.AVLnet(**convert.options(params['net']), axis_name=None)
  model = model.clone(dtype=dtype)
  variables = convert.golden_variables(params['net'])
  batch = convert.golden_batch(case['inputs'], params['nframes'])

  def loss_function(weights: dict) -> tuple[jax.Array, dict]:
    embeddings, updated = model.apply(
      {**variables, 'params': weights}, batch, train=True, mutable='batch_stats'
    )
    rows = embeddings['audio'] @ embeddings['video'].T
    partners = np.arange(len(rows))
    return losses.masked_margin_softmax(
      rows, rows.T, partners, margin=params['margin']
    ), updated

  with _precision(precision):
    compute = jax.jit(jax.value_and_grad(loss_function, has_aux=True))
    (loss, updated), gradients = compute(variables['params'])
  keys = case['param_order']
  slopes = convert.to_release({'params': gradients}, keys)
  has_slope = np.isin(keys, list(slopes))
  layers = [f'{layer}.running_var' for layer in case['bn_layers']]
  variances = convert.to_release(dict(updated), layers)
  is_alive = np.isin(layers, list(variances))
  pairs = {
    'loss': (loss, expected['loss_f64']),
    'norms of gradients': (
      [np.linalg.norm(value) for value in slopes.values()],
      expected['grad_l2_f64'][has_slope],
    ),
    'norms of running variances': (
      [np.linalg.norm(value) for value in variances.values()],
      expected['bn_running_var_l2'][is_alive],
    ),
  }
  # The gradients of a step add the rounding of all its products.
  allowed = 10 * ALLOWED[dtype, precision]
  return [
    {'what': what, **compare(*pair, allowed)} for what, pair in pairs.items()
  ]


def cases(sizes: Sizes) -> dict[str, Callable]:
  """Training steps and evaluations."""
  if not GOLDEN.exists():
    missing = {'result': f'absent: {GOLDEN}'}
    return {'golden numbers': lambda: missing}
  found: dict[str, Callable] = {}
  for dtype, precision in (('float32', 'highest'), ('bfloat16', 'usual')):
    name = f'{dtype}, products {precision}'
    found[f'training step, {name}'] = functools.partial(
      training_step, 'train', dtype, precision
    )
    for sub in sizes.evaluations:
      found[f'evaluation {sub}, {name}'] = functools.partial(
        evaluation, sub, dtype, precision
      )
  return found
