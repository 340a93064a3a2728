"""Modes with a made-up input pipeline: no TensorFlow, no records."""

import contextlib
import json

import pytest

import main
from avl_jax.checkpoints import loading
from avl_jax.checkpoints.fingerprints import branch_fingerprint
from avl_jax.config import read_config
from avl_jax.errors import UserError
from avl_jax.modes import evaluate, prepare, train
from avl_jax.train import loop, optimizer
from avl_jax.train.metrics_log import read_history
from tests.helpers.made_up_pipeline import CLIPS, Pipeline


@pytest.fixture
def config():
  config = read_config('configs/stamps.py')
  config.num_steps = 3
  config.best_metric = 'noise/test/audio_to_video/R@10'
  config.model.update(embed_dim=8, widths=(4, 4), blocks=(1,))
  config.train_data.batch_size = CLIPS
  config.train.update(log_every=1, eval_every=2)
  return config


def test_trains_evaluates_and_resumes(config, tmp_path):
  pipeline = Pipeline()
  train.train(config, tmp_path, pipeline)
  names = [name for name, *_ in pipeline.calls]
  assert names[0] == 'prepare'
  assert {'count', 'train_batches', 'eval_batches'} < set(names)
  (options,) = (call[1] for call in pipeline.calls if call[0] == 'prepare')
  assert options == {**config.prepare, 'data_dir': config.data_dir}
  (options,) = (c[1] for c in pipeline.calls if c[0] == 'train_batches')
  assert options['seed'] == config.seed
  assert options['host'] == (0, 1)
  assert options['bad_records_file'] == tmp_path / 'bad_records.json'
  rows = read_history(tmp_path / 'metrics.jsonl')
  assert [row['step'] for row in rows if 'loss' in row] == [1, 2, 3]
  rates = [row['learning_rate'] for row in rows if 'loss' in row]
  expected = optimizer.make_schedule(**config.optimizer, num_steps=3)
  assert rates == pytest.approx([float(expected(step)) for step in range(3)])
  record = json.loads((tmp_path / 'evaluation.json').read_text())
  assert record['facts']['examples'] == 24
  assert record['facts']['data'] == 'made up'
  assert {row['data'] for row in record['rows']} == {'made up too'}
  assert (tmp_path / 'report.html').exists()
  # Three steps are done: the same again only evaluates.
  config.num_steps = 4
  train.train(config, tmp_path, pipeline)
  rows = read_history(tmp_path / 'metrics.jsonl')
  assert [row['step'] for row in rows if 'loss' in row] == [1, 2, 3, 4]


@pytest.mark.parametrize('error', [None, ArithmeticError, KeyboardInterrupt])
def test_batches_are_closed(config, tmp_path, monkeypatch, error):
  pipeline = Pipeline()

  def begin(self, state):
    assert [batches.is_closed for batches in pipeline.opened] == [False]
    if error:
      raise error
    return state

  monkeypatch.setattr(loop.Loop, 'run', begin)
  with pytest.raises(error) if error else contextlib.nullcontext():
    train.run(config, tmp_path, pipeline, 0.0)
  assert [batches.is_closed for batches in pipeline.opened] == [True]


def test_evaluation_needs_a_checkpoint(config, tmp_path):
  with pytest.raises(UserError, match=r'[Nn]o checkpoint'):
    evaluate.evaluate(config, tmp_path, Pipeline())


def test_scores_are_on_the_console(config, tmp_path, capsys):
  config.best_metric = 'noise/test/audio_to_video/median_rank'
  train.train(config, tmp_path, Pipeline())
  printed = capsys.readouterr().out
  record = json.loads((tmp_path / 'evaluation.json').read_text())
  step = record['facts']['step']
  assert f'Scores of step {step}, the best by {config.best_metric}.' in printed
  assert ('untrained' in printed) == (step == 0)
  for name in ('R@1', 'R@5', 'R@10', 'R@10 by chance', 'Median rank'):
    assert f' {name} |' in printed
  for row in record['rows']:
    start = f'| noise | {row["task"].replace("->", "→")} | test | 8 | 8 |'
    (line,) = (x for x in printed.splitlines() if x.startswith(start))
    assert f' {100 * row["R@5"]:.1f} % | 100.0 % |' in line
    assert f' | {row["median_rank"]:.1f} | ' in line


@pytest.mark.parametrize(
  ('facts', 'message'),
  [
    ({'step': 30}, 'Scores of step 30, the best by x/R@10.'),
    ({'step': 30, 'best_metric': ''}, 'Scores of step 30, the last.'),
    ({}, 'before the first step, untrained. No later step was better.'),
    ({'best_metric': ''}, 'before the first step, untrained.'),
    ({'initial': 'data'}, 'first step, as its initial workdir left it. No'),
    # As the metadata of an import.
    ({'best_metric': '', 'batch_size': 0}, 'Scores of step 0, the last.'),
  ],
)
def test_which_checkpoint_the_scores_are_of(facts, message):
  defaults = {
    'step': 0,
    'best_metric': 'x/R@10',
    'batch_size': 8,
    'initial': '',
  }
  assert message in evaluate._which(defaults | facts)


@pytest.mark.parametrize('key', ['eval_data.evaluations', 'eval.tasks'])
def test_an_evaluation_of_nothing_changes_nothing(config, tmp_path, key):
  train.train(config, tmp_path, Pipeline())
  names = ('evaluation.json', 'report.html', 'report.md')
  before = [(tmp_path / name).read_bytes() for name in names]
  figures = sorted((tmp_path / 'figures').rglob('*'))
  outer, inner = key.split('.')
  config[outer][inner] = type(config[outer][inner])()
  with pytest.raises(UserError, match=rf'{key} is empty. Name a config'):
    evaluate.evaluate(config, tmp_path, Pipeline())
  assert [(tmp_path / name).read_bytes() for name in names] == before
  assert sorted((tmp_path / 'figures').rglob('*')) == figures


def test_training_without_evaluations_says_so(config, tmp_path, capsys):
  config.eval_data.evaluations = {}
  train.train(config, tmp_path, Pipeline())
  assert 'eval_data.evaluations is empty' in capsys.readouterr().out
  assert not (tmp_path / 'evaluation.json').exists()


def test_a_workdir_may_be_a_time_stamp(config, tmp_path):
  workdir = tmp_path / 'run 2026-01-31T13:05:00'
  config.best_metric = ''
  train.train(config, workdir, Pipeline())
  before = (workdir / 'evaluation.json').read_bytes()
  (workdir / 'evaluation.json').unlink()
  evaluate.evaluate(config, workdir, Pipeline())
  assert (workdir / 'evaluation.json').read_bytes() == before
  name = str(workdir / 'config.json')
  assert main.read_arguments(['main.py', f'--config={name}'])[2] == workdir
  options = ['main.py', '--mode=eval', f'--workdir={workdir}']
  assert main.read_arguments(options)[1].to_dict() == config.to_dict()


def test_preparation_gets_the_config(config, tmp_path):
  pipeline = Pipeline()
  config.prepare.media_dir = 'somewhere'
  prepare.prepare(config, tmp_path, pipeline)
  ((name, options),) = pipeline.calls
  assert (name, options['media_dir']) == ('prepare', 'somewhere')


def test_a_run_keeps_the_video_branch_of_its_initial_workdir(config, tmp_path):
  """So that both runs may ask one search index."""
  config.update(num_steps=0)
  config.optimizer.schedule = 'exponential'
  config.eval_data.evaluations = {}
  train.train(config, tmp_path / 'first', Pipeline())
  first = str(tmp_path / 'first')
  config.update(num_steps=1, initial_workdir=first, seed=7)
  config.train.frozen = ('video',)
  train.train(config, tmp_path / 'second', Pipeline())
  first, second = (
    {
      branch: branch_fingerprint(model, variables, branch)
      for branch in ('audio', 'video')
    }
    for model, variables, _ in (
      loading.load(tmp_path / name) for name in ('first', 'second')
    )
  )
  assert first['video'] == second['video']
  assert first['audio'] != second['audio']
  config.initial_workdir = ''
  with pytest.raises(UserError, match='random weights'):
    train.train(config, tmp_path / 'third', Pipeline())
