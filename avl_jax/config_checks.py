"""Checks of a config's values, before data are opened.

The functions that a config's sub-trees configure check what they choose from
(`model.structure`, `optimizer.schedule`). Here is what would otherwise end
late, with a traceback, or in a run that is not the one asked for.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from avl_jax import loss_options
from avl_jax.errors import ConfigError
from avl_jax.retrieval import metrics


class _Kind(NamedTuple):
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


_COUNT = _Kind(lambda x: _is_int(x) and x > 0, 'an integer of at least 1')
_COUNT_OR_0 = _Kind(lambda x: _is_int(x) and x >= 0, 'an integer, 0 or more')
_SEED = _Kind(
  lambda x: _is_int(x) and 0 <= x < 2**32, 'an integer from 0 to 2**32 - 1'
)
_SEEDS = _Kind(
  lambda x: _is_sequence(x) and x and all(_SEED.fits(seed) for seed in x),
  'a tuple of seeds, such as (1, 2, 3)',
)
_BOOL = _Kind(lambda x: isinstance(x, bool), 'True or False')
_NUMBER = _Kind(_is_number, 'a number')
_SHARE = _Kind(
  lambda x: _is_number(x) and 0 <= x < 1, 'a number from 0 to 1, without 1'
)
_POSITIVE = _Kind(lambda x: _is_number(x) and x > 0, 'a number above 0')
_POSITIVE_OR_0 = _Kind(
  lambda x: _is_number(x) and x >= 0, 'a number, 0 or more'
)
_INTERVAL = _Kind(
  _COUNT.fits, 'an integer of at least 1; num_steps is at the end only'
)
_WIDTHS = _Kind(
  lambda x: _are_ints(x) and len(x) > 1,
  'a tuple of integers of at least 1, such as (128, 128, 256, 512, 1024)',
)
_BLOCKS = _Kind(
  lambda x: _are_ints(x) and len(x) > 0,
  'a tuple of integers of at least 1, such as (2, 2, 2, 2)',
)
_IMAGE_BLOCKS = _Kind(
  _are_ints, 'a tuple of integers of at least 1, such as (3, 8, 36, 3), or ()'
)
_PAIRS = _Kind(
  lambda x: _are_pairs(x) and len(x) > 0,
  "pairs of names, such as (('audio', 'video'),), with the last comma",
)
# An evaluation of no tasks has a message of its own.
_TASKS = _Kind(_are_pairs, _PAIRS.text)
_NAMES = _Kind(_are_names, "a tuple of names, such as ('stamps/human_fr',)")
_SOME_NAMES = _Kind(lambda x: _are_names(x) and len(x) > 0, _NAMES.text)


def _one_of(choices: tuple[str, ...]) -> _Kind:
  return _Kind(lambda x: x in choices, f'one of {choices}')


_KINDS = {  # key -> what its value must be
  'seed': _SEED,
  'num_steps': _COUNT_OR_0,
  'words.max_words': _COUNT,
  'train_data.datasets': _SOME_NAMES,
  'train_data.batch_size': _COUNT,
  'train_data.clips_per_example': _COUNT_OR_0,
  'train_data.candidates': _COUNT,
  'train_data.num_frames': _COUNT,
  'train_data.min_time': _POSITIVE_OR_0,
  'train_data.max_bad_records': _COUNT_OR_0,
  'train_data.streams': _SOME_NAMES,
  'model.embed_dim': _COUNT,
  'model.widths': _WIDTHS,
  'model.blocks': _BLOCKS,
  'model.word_dim': _COUNT_OR_0,
  'model.initial_text_scale': _POSITIVE_OR_0,
  'model.image_blocks': _IMAGE_BLOCKS,
  'loss.pairs': _PAIRS,
  'loss.name': _one_of(tuple(loss_options.OPTIONS)),
  'loss.margin': _POSITIVE_OR_0,
  'loss.infonce.symmetric': _BOOL,
  'loss.max_margin.margin': _POSITIVE_OR_0,
  'loss.max_margin.diagonal': _BOOL,
  'loss.max_margin.intra_video': _SHARE,
  'loss.bce.balanced': _BOOL,
  'loss.sigmoid.initial_scale': _POSITIVE,
  'loss.sigmoid.initial_bias': _NUMBER,
  'optimizer.learning_rate': _POSITIVE,
  'optimizer.decay_rate': _POSITIVE,
  'optimizer.decay_steps': _COUNT,
  'optimizer.warmup_steps': _COUNT_OR_0,
  'train.log_every': _INTERVAL,
  'train.eval_every': _INTERVAL,
  'train.save_every': _INTERVAL,
  'train.max_skipped': _COUNT,
  'train.step_timeout': _POSITIVE_OR_0,
  'eval_data.batch_size': _COUNT,
  'eval_data.num_frames': _COUNT,
  'eval_data.streams': _SOME_NAMES,
  'eval.tasks': _TASKS,
  'eval.ties': _one_of(metrics.TIES),
  'eval.missing': _one_of(metrics.MISSING),
  'comparison.seeds': _SEEDS,
  'prepare.datasets': _NAMES,
  'prepare.speech_words': _COUNT,
  'prepare.workers': _COUNT_OR_0,
  'prepare.beam': _Kind(lambda x: str(x)[:2] in ('', '--'), "--options or ''"),
  'prepare.decoding.memory': _COUNT,
  'prepare.decoding.wall_seconds': _POSITIVE,
  'prepare.decoding.wall_seconds_per_minute': _POSITIVE_OR_0,
  'prepare.decoding.processor_seconds': _POSITIVE_OR_0,
  'prepare.decoding.processor_seconds_per_minute': _POSITIVE_OR_0,
  'prepare.decoding.stall_seconds': _POSITIVE,
  'prepare.decoding.longest_seconds': _POSITIVE,
  'prepare.decoding.most_streams': _COUNT,
  'prepare.decoding.files': _COUNT,
}
_EVALUATION = {  # key of an evaluation -> what its value must be
  'datasets': _SOME_NAMES,
  'splits': _SOME_NAMES,
  'num_queries': _COUNT_OR_0,
  'num_frames': _COUNT,
}


def check(config: ConfigDict) -> None:
  """Checks the values of a config.

  Args:
    config: with all keys of configs/avlnet.py.

  Raises:
    ConfigError: a value is not possible. The message, one line, names the key,
      the value, and what was expected.
  """
  _check_loss(config)
  for key, kind in _KINDS.items():
    _check(key, _value(config, key), kind)
  if len(config.model.widths) != len(config.model.blocks) + 1:
    raise ConfigError(
      f'model.widths is {config.model.widths!r} and model.blocks is '
      f'{config.model.blocks!r}. Expected a width for the stem and one for '
      f'each stage, so {len(config.model.blocks) + 1} widths for '
      f'{len(config.model.blocks)} blocks. Set both.'
    )
  _check_candidates(config)
  for name, evaluation in _evaluations(config):
    for key, kind in _EVALUATION.items():
      if key in evaluation:
        _check(f'{name}.{key}', evaluation[key], kind)
      elif key in ('datasets', 'splits'):
        raise ConfigError(
          f'{name} has no {key}. Expected {kind.text}. Set {name}.{key}.'
        )
  evaluations = config.eval_data.evaluations
  first = config.best_metric.partition('/')[0]
  if config.best_metric and config.num_steps and first not in evaluations:
    names = ', '.join(evaluations) or 'none'
    raise ConfigError(
      f'best_metric is {config.best_metric!r}, but eval_data.evaluations has '
      f'no {first!r}. Expected a metric of one of its evaluations ({names}), '
      "such as EVALUATION/SPLIT/audio_to_video/R@10, or '' for the last "
      'checkpoint. Set best_metric.'
    )


def _check_loss(config: ConfigDict) -> None:
  """Checks the names of the loss and of its options."""
  options = dict(config.loss.items())
  name, margin, _ = map(options.pop, ('name', 'margin', 'pairs'))
  loss_options.check(name, options, margin)


def _check_candidates(config: ConfigDict) -> None:
  loss, train_data = config.loss.name, config.train_data
  count, clips = train_data.candidates, train_data.clips_per_example
  if count > 1 and loss != 'mil_nce':
    raise ConfigError(
      f'train_data.candidates is {count}, but loss.name is {loss!r}. Expected '
      "1: only 'mil_nce' has several candidates. Set one of the two."
    )
  if count > 1 and (not clips or clips % count or train_data.min_time):
    raise ConfigError(
      f'train_data.candidates is {count}, train_data.clips_per_example {clips} '
      f'and train_data.min_time {train_data.min_time}. Expected a multiple of '
      'candidates as clips_per_example, and a min_time of 0. Set these.'
    )


def _value(config: ConfigDict, key: str) -> Any:
  for part in key.split('.'):
    config = config[part]
  return config


def _check(key: str, value: Any, kind: _Kind) -> None:
  if not kind.fits(value):
    raise ConfigError(f'{key} is {value!r}. Expected {kind.text}. Set {key}.')


def _evaluations(config: ConfigDict) -> Iterator[tuple[str, Any]]:
  for key in ('eval_data.evaluations', 'comparison.evaluations'):
    for name, evaluation in _value(config, key).items():
      if not isinstance(evaluation, Mapping | ConfigDict):
        raise ConfigError(
          f'{key}.{name} is {evaluation!r}. Expected a dict with datasets and '
          f'splits. Set {key}.{name}.datasets and splits.'
        )
      yield f'{key}.{name}', evaluation
