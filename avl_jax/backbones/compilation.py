"""Compiles a bottleneck network for the extraction of features."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from avl_jax import logs
from avl_jax.backbones import bottleneck

# Of a CPU's jaxlib 0.10, whose YNNPACK computes convolutions of few channels on
# one core. So it computes products alone.
_PRODUCTS_ALONE = {
  'xla_cpu_experimental_ynn_fusion_type': 'LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT'
}


def compile_network(
  file: str,
  network: bottleneck.BottleneckNetwork,
  variables: dict,
  has_grid: bool,
) -> Callable[[np.ndarray], Any]:
  """Compiles a network in full float32, so features do not depend on a device.

  Prints a warning if the network's depth differs from the authors', as with
  ResNet-50.
  """
  if network.blocks != (authors := type(network).blocks):
    logs.write(
      f'Warning: {file} is a {type(network).__name__} of blocks '
      f"{network.blocks}. The authors' has blocks {authors}, so the features "
      'differ from theirs.'
    )

  is_old = jax.default_backend() == 'cpu' and jax.__version_info__ < (0, 11)
  options = _PRODUCTS_ALONE if is_old else None

  @functools.partial(jax.jit, compiler_options=options)
  def features(variables, batch):
    with jax.default_matmul_precision('float32'):
      if not has_grid:
        return network.apply(variables, batch, train=False)
      pooled, kept = network.apply(
        variables, batch, train=False, mutable='intermediates'
      )
      return pooled, kept['intermediates']['grid'][0]

  return functools.partial(features, jax.device_put(variables))
