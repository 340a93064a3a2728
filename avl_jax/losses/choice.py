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


@dataclasses.dataclass(frozen=True)
class Loss:
  """A loss with its options.

  Attributes:
    function: of (rows, columns, partners) and keyword arguments `needs`.
    needs: names of what differs from step to step: 'candidates' and 'gather'
      of `mil_nce`, 'log_scale' and 'bias' of `sigmoid`.
  """

  function: Callable[..., jax.Array]
  needs: tuple[str, ...] = ()

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
  partial = functools.partial
  match name:
    case 'infonce':
      return Loss(partial(softmax.infonce, **own))
    case 'max_margin':
      own['clips_per_video'] = clips_per_video
      return Loss(partial(ranking.max_margin, **own))
    case 'bce':
      return Loss(partial(binary.binary_cross_entropy, **own))
    case 'mil_nce':
      return Loss(multiple_instance.mil_nce, ('candidates', 'gather'))
    case 'sigmoid':
      return Loss(binary.sigmoid, ('log_scale', 'bias'))
  return Loss(partial(softmax.masked_margin_softmax, margin=margin))


def initial_values(
  *, name: str = 'mms', **options: Any
) -> dict[str, jax.Array]:
  """Start values of what a loss learns, float32 scalars; {}: nothing.

  Args:
    name: of the loss.
    **options: the other keys of config.loss.
  """
  if name != 'sigmoid':
    return {}
  own = {**loss_options.OPTIONS[name], **options.get(name, {})}
  return {
    'log_scale': jnp.float32(math.log(own['initial_scale'])),
    'bias': jnp.float32(own['initial_bias']),
  }
