"""Expands the config of a comparison into the configs of its runs."""

from collections.abc import Iterator

import ml_collections

from avl_jax.errors import ConfigError


def expand(
  config: ml_collections.ConfigDict,
) -> Iterator[tuple[str, int, ml_collections.ConfigDict]]:
  """Yields the runs of a comparison, each with a complete config.

  Args:
    config: with `comparison.runs`, (name, keys that differ in this run), and
      `comparison.seeds`. A run of no steps is the model in its
      `initial_workdir`, which does not depend on the seed, so it comes once.

  Yields:
    (name, seed, config) of each run.

  Raises:
    ConfigError: there are no runs, a run changes a key that does not exist, or
      `comparison.side_by_side` names a run that does not exist.
  """
  if not config.comparison.runs:
    raise ConfigError(
      'There is nothing to compare: comparison.runs is empty in this config. '
      'Choose a config with runs, such as configs/finetune.py:stamps_fr.'
    )
  names = [name for name, _ in config.comparison.runs]
  for name in config.comparison.side_by_side:
    if name not in names:
      raise ConfigError(
        f'comparison.side_by_side has no run {name!r}. '
        f'Choose from {", ".join(names)}.'
      )
  for name, changes in config.comparison.runs:
    for seed in config.comparison.seeds:
      run = config.copy_and_resolve_references().lock()
      try:
        run.update(changes)
      except (KeyError, TypeError) as error:
        reason = str(error).split(' Other fields')[0].strip('\'"')
        raise ConfigError(
          f'Invalid change in comparison.runs, run {name!r}: {reason}'
        ) from error
      run.seed = seed
      run.comparison.runs = ()
      yield name, seed, run
      if not run.num_steps:
        break
