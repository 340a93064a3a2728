"""Checks of the values of options, such as `config.prepare.speech`."""

import dataclasses
import typing
from collections.abc import Iterable
from typing import Any

from avl_jax.errors import ConfigError

_KINDS = {int: 'a whole number', float: 'a finite number', str: 'a text'}
_GREATEST = 1e300


def convert(options: Any, key: str) -> None:
  """Gives the values of a frozen dataclass of options the types of its fields.

  Integers become floating-point numbers, and sequences tuples, so that equal
  options are written alike.

  Args:
    options: the dataclass, from its `__post_init__`; its fields are of int,
      float, str, or tuples of these of a fixed length.
    key: of the config that holds the options: 'prepare.speech'.

  Raises:
    ConfigError: a value is of another type or length, or not finite. NumPy's
      numbers are other types.
  """
  hints = typing.get_type_hints(type(options))
  for field in dataclasses.fields(options):
    kinds = typing.get_args(hints[field.name])
    value = getattr(options, field.name)
    if kinds:
      expected = f'{len(kinds)} values, each {_KINDS[kinds[0]]}'
      is_good = isinstance(value, tuple | list) and len(value) == len(kinds)
      is_good = is_good and all(map(_fits, value, kinds))
    else:
      expected = _KINDS[hints[field.name]]
      is_good = _fits(value, hints[field.name])
    if not is_good:
      raise _error(key, field.name, value, expected)
    if kinds:
      value = tuple(kind(x) for kind, x in zip(kinds, value, strict=True))
    else:
      value = hints[field.name](value)
    object.__setattr__(options, field.name, value)


def check(
  options: Any, key: str, conditions: Iterable[tuple[str, bool, object]]
) -> None:
  """Checks the values of a dataclass of options.

  Args:
    options: the dataclass.
    key: of the config that holds the options.
    conditions: (name of an option, whether its value is possible, what is
      expected).

  Raises:
    ConfigError: a value is not possible.
  """
  for name, is_good, expected in conditions:
    if not is_good:
      raise _error(key, name, getattr(options, name), expected)


def _fits(value: Any, kind: type) -> bool:
  if kind is float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < _GREATEST
  return isinstance(value, kind) and not isinstance(value, bool)


def _error(key: str, name: str, value: Any, expected: object) -> ConfigError:
  return ConfigError(
    f'{key}.{name} is {value!r}. Expected {expected}. Set '
    f'--config.{key}.{name}.'
  )
