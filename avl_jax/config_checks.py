"""Checks of a config's values, before data are opened.

The functions that a config's sub-trees configure check what they choose from
(`model.structure`, `optimizer.schedule`). Here is what would otherwise end
late, with a traceback, or in a run that is not the one asked for.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from avl_jax import loss_options
from avl_jax.config_kinds import EVALUATION, KINDS, Kind
from avl_jax.errors import ConfigError


def check(config: ConfigDict) -> None:
  """Checks the values of a config.

  Args:
    config: with all keys of configs/avlnet.py.

  Raises:
    ConfigError: a value is not possible. The message, one line, names the key,
      the value, and what was expected.
  """
  _check_loss(config)
  for key, kind in KINDS.items():
    _check(key, _value(config, key), kind)
  if len(config.model.widths) != len(config.model.blocks) + 1:
    raise ConfigError(
      f'model.widths is {config.model.widths!r} and model.blocks is '
      f'{config.model.blocks!r}. Expected a width for the stem and one for '
      f'each stage, so {len(config.model.blocks) + 1} widths for '
      f'{len(config.model.blocks)} blocks. Set both.'
    )
  _check_candidates(config)
  if config.search.step > config.search.window:
    raise ConfigError(
      f'search.step is {config.search.step} and search.window is '
      f'{config.search.window}. Expected a step of at most a window: what lies '
      'between two windows would never be found. Set one of the two.'
    )
  for name, evaluation in _evaluations(config):
    for key, kind in EVALUATION.items():
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
  if name == 'two_way' and not config.model.normalize:
    raise ConfigError(
      "loss.name is 'two_way', but model.normalize is False. Expected True: "
      'the distances are of embeddings of length 1. Set model.normalize=True.'
    )


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


def _check(key: str, value: Any, kind: Kind) -> None:
  if not kind.fits(value):
    raise ConfigError(f'{key} is {value!r}. Expected {kind.text}. Set {key}.')


def _evaluations(config: ConfigDict) -> Iterator[tuple[str, Any]]:
  for key in (
    'eval_data.evaluations',
    'comparison.evaluations',
    'comparison.trial_evaluations',
  ):
    for name, evaluation in _value(config, key).items():
      if not isinstance(evaluation, Mapping | ConfigDict):
        raise ConfigError(
          f'{key}.{name} is {evaluation!r}. Expected a dict with datasets and '
          f'splits. Set {key}.{name}.datasets and splits.'
        )
      yield f'{key}.{name}', evaluation
