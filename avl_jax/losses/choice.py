"""The loss that a config chooses."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from avl_jax import loss_options
from avl_jax.losses import binary, multiple_instance, ranking, softmax

Array = jax.Array | np.ndarray
_FUNCTIONS = {
  'mms': softmax.masked_margin_softmax,
  'infonce': softmax.infonce,
  'max_margin': ranking.max_margin,
  'bce': binary.binary_cross_entropy,
  'mil_nce': multiple_instance.mil_nce,
  'sigmoid': binary.sigmoid,
  'sampled_margin': ranking.sampled_margin,
  'two_way': binary.two_way,
}
_NEEDS = {  # what differs from step to step
  'mil_nce': ('candidates', 'gather'),
  'sigmoid': ('log_scale', 'bias'),
  'sampled_margin': ('key',),
  'two_way': ('scale', 'bias', 'key'),
}
# They tell the clips of a video from those of others.
_OF_VIDEOS = ('max_margin', 'sampled_margin', 'two_way')


@dataclasses.dataclass(frozen=True)
class Loss:
  """A loss with its options.

  Attributes:
    function: of (rows, columns, partners) and keyword arguments `needs`.
    needs: names of what differs from step to step: 'candidates' and 'gather'
      of `mil_nce`; 'log_scale' and 'bias' of `sigmoid`; 'key', from which they
      draw, of `sampled_margin` and `two_way`; 'scale' and 'bias' of the latter.
    make_totals: see `multiple_instance.make_totals`. None: a row needs no other
      row's columns, so the loss is the mean of those of any equal parts.
  """

  function: Callable[..., jax.Array]
  needs: tuple[str, ...] = ()
  make_totals: Callable[..., tuple[Array, Array]] | None = None

  def with_totals(
    self,
    of_columns: Callable[[Callable], jax.Array],
    candidates: jax.Array,
    gather: Callable[[jax.Array], jax.Array],
  ) -> 'Loss':
    """The loss of a part of a device's pairs; see `make_totals`."""
    if not self.make_totals:
      return self
    totals = self.make_totals(of_columns, candidates, gather)
    return Loss(functools.partial(self.function, totals=totals), self.needs)

  def __call__(
    self,
    rows: Array,
    columns: Array,
    partners: Array,
    given: Mapping[str, Any],
  ) -> jax.Array:
    """The scalar loss; takes what it needs from `given`."""
    needed = {name: given[name] for name in self.needs}
    return self.function(rows, columns, partners, **needed)


def choose(
  *,
  name: str = 'mms',
  margin: float = loss_options.MARGIN,
  clips_per_video: int = 1,
  **options: Any,
) -> Loss:
  """Returns the loss of a config.

  Args:
    name: one of `loss_options.OPTIONS`.
    margin: of mms.
    clips_per_video: how many pairs in a row are of one video.
    **options: loss -> option -> value, of all losses.

  Raises:
    ConfigError: see `loss_options.check`.
  """
  loss_options.check(name, options, margin)
  own = {**loss_options.OPTIONS[name], **options.get(name, {})}
  if name in _OF_VIDEOS:
    own['clips_per_video'] = clips_per_video
  if name == 'mms':
    own['margin'] = margin
  starts = {key for key in own if key.startswith('initial_')}
  own = {key: value for key, value in own.items() if key not in starts}
  return Loss(
    functools.partial(_FUNCTIONS[name], **own),
    _NEEDS.get(name, ()),
    multiple_instance.make_totals if name == 'mil_nce' else None,
  )


def initial_values(
  *, name: str = 'mms', **options: Any
) -> dict[str, jax.Array]:
  """Start values of what a loss learns, float32 scalars; {}: nothing.

  Args:
    name: of the loss.
    **options: the other keys of config.loss.
  """
  if name not in ('sigmoid', 'two_way'):
    return {}
  own = {**loss_options.OPTIONS[name], **options.get(name, {})}
  scale, bias = own['initial_scale'], jnp.float32(own['initial_bias'])
  if name == 'two_way':
    return {'scale': jnp.float32(scale), 'bias': bias}
  return {'log_scale': jnp.float32(math.log(scale)), 'bias': bias}
