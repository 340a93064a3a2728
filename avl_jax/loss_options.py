"""Names of the losses, their options and the defaults of these; no JAX.

A config chooses by `loss.name` and keeps the options of each loss under its
name, such as `loss.max_margin.margin`. `avl_jax.losses` explains them.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from avl_jax.errors import ConfigError

MARGIN = 0.001  # of mms, eq. 3.4; its key is `loss.margin`
OPTIONS: dict[str, dict[str, Any]] = {  # loss -> option -> default
  'mms': {},
  'infonce': {'symmetric': True},
  'max_margin': {'margin': 0.1, 'diagonal': True, 'intra_video': 0.0},
  'bce': {'balanced': False},
  'mil_nce': {},
  'sigmoid': {'initial_scale': 10.0, 'initial_bias': -10.0},
  'sampled_margin': {
    'margin': 1.0,
    'impostors': 'sampled',
    'other_videos': False,
  },
  'two_way': {
    'initial_scale': 1.0,
    'initial_bias': 1.4,
    'other_videos': True,
  },
}
IMPOSTORS = ('sampled', 'semi_hard', 'both')  # of sampled_margin


def check(
  name: str, options: Mapping[str, Any], margin: float = MARGIN
) -> None:
  """Checks the choice of a loss.

  Args:
    name: of the loss.
    options: loss -> option -> value; may have losses that are not chosen.
    margin: of mms.

  Raises:
    ConfigError: a name or an option is unknown, or the margin of mms is set
      for another loss. The message names the choices.
  """
  if name not in OPTIONS:
    raise _unknown('loss.name', name, OPTIONS)
  for loss, given in options.items():
    if not OPTIONS.get(loss):
      known = [each for each in OPTIONS if OPTIONS[each]]
      raise _unknown('a key of loss', loss, known)
    if not hasattr(given, 'keys'):  # a dict or a ConfigDict
      raise ConfigError(
        f'loss.{loss} is {given!r}. Expected the options '
        f'{", ".join(OPTIONS[loss])}. Set loss.{loss}.OPTION.'
      )
    for option in given:
      if option not in OPTIONS[loss]:
        raise _unknown(f'an option of loss.{loss}', option, OPTIONS[loss])
  if name != 'mms' and margin != MARGIN:
    has_one = 'margin' in OPTIONS[name]
    own = f' Set loss.{name}.margin.' if has_one else ''
    raise ConfigError(
      f'loss.margin is {margin!r}, but loss.name is {name!r}. Expected '
      f'{MARGIN}, because loss.margin is the margin of mms alone.'
      f'{own or " Leave it out."}'
    )


def _unknown(what: str, name: str, choices: Iterable[str]) -> ConfigError:
  close = difflib.get_close_matches(str(name), choices, 1)
  meant = f' Did you mean {close[0]!r}?' if close else ''
  return ConfigError(
    f'{what} is {name!r}.{meant} Expected one of {tuple(choices)}. Correct it.'
  )
