"""Checks of the values of options, such as `config.prepare.speech`."""

from collections.abc import Iterable
from typing import Any

from avl_jax.errors import ConfigError


def check(
  options: Any,
  key: str,
  sequences: Iterable[str],
  conditions: Iterable[tuple[str, bool, object]],
) -> None:
  """Checks a frozen dataclass of options; its sequences become tuples.

  Args:
    options: the dataclass, from its `__post_init__`.
    key: of the config that holds the options: 'prepare.speech'.
    sequences: names of the options that are sequences.
    conditions: (name of an option, whether its value is possible, what is
      expected).

  Raises:
    ConfigError: a value is not possible.
  """
  for name in sequences:
    object.__setattr__(options, name, tuple(getattr(options, name)))
  for name, is_good, expected in conditions:
    if not is_good:
      raise ConfigError(
        f'{key}.{name} is {getattr(options, name)!r}. Expected {expected}. Set '
        'it.'
      )
