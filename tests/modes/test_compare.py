"""Configs of the runs of a comparison."""

import pytest

from avl_jax.config import read_config
from avl_jax.errors import ConfigError
from avl_jax.modes import compare


def _config(**comparison_):
  config = read_config('configs/stamps.py')
  config.comparison.update(comparison_)
  return config


def test_runs_are_whole_configs_in_order():
  config = _config(
    runs=(
      ('wide', {'model': {'embed_dim': 99}}),
      ('as_it_is', {'num_steps': 0}),
    ),
    seeds=(4, 5),
  )
  before = config.to_json()
  runs = list(compare.expand(config))
  assert [run[:2] for run in runs] == [
    ('wide', 4),
    ('wide', 5),
    ('as_it_is', 4),  # a model that is not trained needs no second seed
  ]
  assert [run.seed for _, _, run in runs] == [4, 5, 4]
  assert [run.model.embed_dim for _, _, run in runs] == [99, 99, 512]
  assert runs[0][2].model.widths == config.model.widths
  assert config.to_json() == before


@pytest.mark.parametrize(
  ('runs', 'message'),
  [
    ((), 'nothing to compare'),
    ((('x', {'nun_steps': 3}),), "run 'x': .*nun_steps"),
    ((('x', {'model': {'embed_dmi': 3}}),), 'embed_dmi'),
    ((('x', {'num_steps': 'three'}),), 'num_steps'),
    ((('x', {'model.embed_dim': 3}),), "run 'x': .*model.embed_dim"),
  ],
)
def test_invalid_runs(runs, message):
  with pytest.raises(ConfigError, match=message):
    list(compare.expand(_config(runs=runs)))


def test_a_comparison_on_nothing(tmp_path):
  config = _config(runs=(('early', {}),), evaluations={})
  with pytest.raises(ConfigError, match=r'comparison\.evaluations is empty'):
    compare.compare(config, tmp_path, None)


def test_side_by_side_names_existing_runs():
  config = _config(
    runs=(('early', {}), ('late', {})), side_by_side=('early', 'later')
  )
  with pytest.raises(ConfigError, match=r"'later'\. Choose from early, late"):
    next(compare.expand(config))
