"""What a config's value may be: a test of it, and its description."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple


class Kind(NamedTuple):
  """What a value must be: a test, and its description for the message."""

  fits: Callable[[Any], bool]
  text: str


def _is_int(value: Any) -> bool:
  return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
  return (_is_int(value) or isinstance(value, float)) and math.isfinite(value)


def _is_sequence(value: Any) -> bool:
  return isinstance(value, tuple | list)


def _are_pairs(value: Any) -> bool:
  return _is_sequence(value) and all(
    _is_sequence(pair)
    and len(pair) == 2
    and all(isinstance(part, str) and part for part in pair)
    for pair in value
  )


def _are_ints(value: Any) -> bool:
  return _is_sequence(value) and all(_is_int(x) and x > 0 for x in value)


def _are_names(value: Any) -> bool:
  return _is_sequence(value) and all(isinstance(x, str) and x for x in value)


COUNT = Kind(lambda x: _is_int(x) and x > 0, 'an integer of at least 1')
COUNT_OR_0 = Kind(lambda x: _is_int(x) and x >= 0, 'an integer, 0 or more')
SEED = Kind(
  lambda x: _is_int(x) and 0 <= x < 2**32, 'an integer from 0 to 2**32 - 1'
)
SEEDS = Kind(
  lambda x: _is_sequence(x) and x and all(SEED.fits(seed) for seed in x),
  'a tuple of seeds, such as (1, 2, 3)',
)
BOOL = Kind(lambda x: isinstance(x, bool), 'True or False')
NUMBER = Kind(_is_number, 'a number')
SHARE = Kind(
  lambda x: _is_number(x) and 0 <= x < 1, 'a number from 0 to 1, without 1'
)
POSITIVE = Kind(lambda x: _is_number(x) and x > 0, 'a number above 0')
POSITIVE_OR_0 = Kind(lambda x: _is_number(x) and x >= 0, 'a number, 0 or more')
INTERVAL = Kind(
  COUNT.fits,
  'an integer of at least 1; num_steps is at the end only',
)
WIDTHS = Kind(
  lambda x: _are_ints(x) and len(x) > 1,
  'a tuple of integers of at least 1, such as (128, 128, 256, 512, 1024)',
)
BLOCKS = Kind(
  lambda x: _are_ints(x) and len(x) > 0,
  'a tuple of integers of at least 1, such as (2, 2, 2, 2)',
)
IMAGE_BLOCKS = Kind(
  _are_ints, 'a tuple of integers of at least 1, such as (3, 8, 36, 3), or ()'
)
PAIRS = Kind(
  lambda x: _are_pairs(x) and len(x) > 0,
  "pairs of names, such as (('audio', 'video'),), with the last comma",
)
# An evaluation of no tasks has a message of its own.
TASKS = Kind(_are_pairs, PAIRS.text)
NAMES = Kind(_are_names, "a tuple of names, such as ('stamps/human_fr',)")
BEAM = Kind(
  lambda x: isinstance(x, str) and x[:2] in ('', '--'), "--options or ''"
)
SOME_NAMES = Kind(lambda x: _are_names(x) and len(x) > 0, NAMES.text)


def one_of(choices: tuple[str, ...]) -> Kind:
  """The kind of one of some names."""
  return Kind(lambda x: x in choices, f'one of {choices}')


def some_of(choices: tuple[str, ...]) -> Kind:
  """The kind of a tuple with one or more of some names, each once."""
  return Kind(
    lambda x: (
      bool(SOME_NAMES.fits(x)) and len({*x}) == len(x) and {*x} <= {*choices}
    ),
    f'a tuple of one or more of {choices}',
  )
