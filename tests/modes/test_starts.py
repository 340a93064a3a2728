"""Resumed runs: what differs from the run so far; types of evaluations."""

import json

import pytest

from avl_jax.checkpoints import checkpointer, loading, metadata
from avl_jax.checkpoints.metadata import CheckpointError
from avl_jax.config import read_config, write_config
from avl_jax.errors import ConfigError
from avl_jax.models.avlnet import AVLnet
from avl_jax.modes import evaluate, starts, train
from avl_jax.retrieval import embedding
from tests.helpers.made_up_pipeline import CLIPS, Pipeline


@pytest.fixture
def config():
  config = read_config('configs/stamps.py')
  config.num_steps = 2
  config.best_metric = ''
  config.model.update(embed_dim=8, widths=(4, 4), blocks=(1,))
  config.train_data.batch_size = CLIPS
  config.train.update(log_every=1, eval_every=2)
  return config


@pytest.fixture
def begun(config, tmp_path):
  """A workdir with the config and something that looks like a checkpoint."""
  (tmp_path / 'checkpoints' / '3').mkdir(parents=True)
  write_config(config, tmp_path)
  return tmp_path


def test_a_new_run_is_as_configured(config, tmp_path):
  assert starts.continued(config, tmp_path) is config


def test_the_same_config_says_nothing(config, begun, capsys):
  taken = starts.continued(config, begun)
  assert taken.to_json() == config.to_json()
  assert capsys.readouterr().out == ''


@pytest.mark.parametrize(
  ('key', 'value'),
  [
    ('optimizer.learning_rate', 0.5),
    ('loss.margin', 0.25),
    ('train_data.num_frames', 99),
    ('train_data.min_time', 2.0),
    ('num_steps', 77),
    ('train_data.augmentation.equaliser', 1.5),
  ],
)
def test_what_is_taken_is_told(config, begun, key, value, capsys):
  *outer, last = key.split('.')
  tree = config
  for part in outer:
    tree = tree[part]
  before, tree[last] = tree[last], value
  assert starts.continued(config, begun).to_json() == config.to_json()
  (line,) = capsys.readouterr().out.splitlines()
  assert line.endswith(
    f'Taken from here on: {key}: {before!r} in the run so far, {value!r} in '
    'this start.'
  )


@pytest.mark.parametrize('key', ['initial_workdir', 'image_weights'])
def test_what_only_begins_a_run_is_not_taken(config, begun, key, capsys):
  config[key] = 'another'
  taken = starts.continued(config, begun)
  assert taken[key] == ''
  assert config[key] == 'another'
  printed = capsys.readouterr().out
  assert f"Not taken, because the run has begun: {key}: '' in" in printed


@pytest.mark.parametrize(
  ('key', 'value'),
  [('distinct_groups', False), ('clips_per_example', 4), ('candidates', 2)],
)
def test_another_order_is_refused(config, begun, key, value):
  before = (begun / 'config.json').read_bytes()
  config.train_data[key] = value
  with pytest.raises(CheckpointError, match=rf'\.{key}: .* Choose an'):
    starts.continued(config, begun)
  assert (begun / 'config.json').read_bytes() == before


def test_a_damaged_config_of_the_run_so_far(config, begun, capsys):
  (begun / 'config.json').write_text('{')
  assert starts.continued(config, begun) is config
  assert (
    'Cannot compare this config with that of the run so far'
    in capsys.readouterr().out
  )


def test_each_start_is_kept_and_the_config_tells_the_truth(
  config, tmp_path, capsys
):
  train.run(config, tmp_path, Pipeline(), 0.0)
  config.num_steps = 4
  config.initial_workdir = '/nowhere'
  config.optimizer.learning_rate = 0.5
  train.run(config, tmp_path, Pipeline(), 0.0)
  printed = capsys.readouterr().out
  assert 'Not taken, because the run has begun: initial_workdir' in printed
  assert 'Taken from here on: optimizer.learning_rate: 0.001 in' in printed
  first, second = sorted((tmp_path / 'starts').iterdir())
  assert first.name == 'start001_step0.json'
  assert second.name == 'start002_step2.json'
  assert json.loads(first.read_text())['optimizer']['learning_rate'] == 0.001
  last = json.loads(second.read_text())
  assert last['optimizer']['learning_rate'] == 0.5
  assert last['initial_workdir'] == ''
  assert json.loads((tmp_path / 'config.json').read_text()) == last


def test_the_config_of_a_run_from_before_is_kept(config, begun):
  config.num_steps = 5
  starts.keep(config, begun, 3)
  first, second = sorted((begun / 'starts').iterdir())
  assert (first.name, second.name) == ('start001.json', 'start002_step3.json')
  assert first.read_bytes() == (begun / 'config.json').read_bytes()
  assert json.loads(second.read_text())['num_steps'] == 5


def _dtypes(monkeypatch):
  """Types of the models that are evaluated, as they come."""
  found, make_embed = [], embedding.make_embed

  def watched(model):
    found.append(model.dtype)
    return make_embed(model)

  monkeypatch.setattr(embedding, 'make_embed', watched)
  return found


def test_evaluations_compute_in_float32_unless_asked(
  config, tmp_path, monkeypatch
):
  config.model.dtype = 'bfloat16'
  found = _dtypes(monkeypatch)
  train.train(config, tmp_path, Pipeline())
  assert found == ['float32', 'float32']
  assert loading.load(tmp_path)[0].dtype == 'bfloat16'
  record = json.loads((tmp_path / 'evaluation.json').read_text())
  assert record['facts']['model']['dtype'] == 'bfloat16'
  for asked, expected in (('', 'bfloat16'), ('float16', 'float16')):
    found.clear()
    config.eval_dtype = asked
    evaluate.evaluate(config, tmp_path, Pipeline())
    assert found == [expected]


def test_types_of_evaluations():
  for dtype in ('bfloat16', 'float16', 'float32'):
    assert embedding.in_dtype(AVLnet(dtype=dtype)).dtype == 'float32'
    assert embedding.in_dtype(AVLnet(dtype=dtype), '').dtype == dtype
  assert embedding.in_dtype(AVLnet(dtype='float64')).dtype == 'float64'
  with pytest.raises(ConfigError, match="'float31' of dtype"):
    embedding.in_dtype(AVLnet(), 'float31')


def test_checkpoints_refuse_a_type_that_differs(tmp_path):
  """`eval_dtype` does not change what a run may resume."""
  old = metadata.describe({'dtype': 'bfloat16'}, 5, 'data')
  new = metadata.describe({'dtype': 'float32'}, 5, 'data')
  with pytest.raises(CheckpointError, match="dtype: 'bfloat16' in the"):
    metadata.check_model(old, new, 'x')
  checkpointer.Checkpoints(tmp_path, new).close()
