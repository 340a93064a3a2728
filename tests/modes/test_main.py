"""The program from media to report, and what it says when it cannot."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import input_pipeline
import main
from avl_jax.config import read_config
from avl_jax.errors import UserError
from avl_jax.modes import compare
from avl_jax.train.metrics_log import read_history

ROOT = pathlib.Path(__file__).parents[2]
SMALL = (
  '--config.num_steps=3',
  '--config.train_data.batch_size=8',
  '--config.train_data.num_frames=64',
  '--config.train.log_every=1',
  '--config.train.eval_every=2',
  '--config.model.embed_dim=16',
  '--config.model.widths=(4, 4, 4, 4, 4)',
  '--config.compilation_cache=',
)


@pytest.fixture(scope='module')
def workdir(stamps_folder, stamps_records, tmp_path_factory, request):
  """A run of three steps, from media to report."""
  workdir = tmp_path_factory.mktemp('run')
  arguments = [
    f'--workdir={workdir}',
    f'--config.data_dir={stamps_records}',
    f'--config.prepare.media_dir={stamps_folder}',
  ]
  main.main(['main.py', '--config=configs/stamps.py', *arguments, *SMALL])
  return workdir


def test_a_run_leaves_what_a_person_needs(workdir):
  rows = read_history(workdir / 'metrics.jsonl')
  losses = [row['loss'] for row in rows if 'loss' in row]
  assert len(losses) == 3
  assert np.isfinite(losses).all()
  assert [row['step'] for row in rows] == [0, 1, 2, 2, 3, 3]
  assert {'clips_per_second', 'waiting_for_data'} < set(rows[1])
  assert list(workdir.glob('events.out.tfevents*'))
  record = json.loads((workdir / 'evaluation.json').read_text())
  evaluations = {row['evaluation'] for row in record['rows']}
  assert evaluations == {'narrated_fr', 'human_fr'}
  assert record['facts']['data'] != ''
  assert len(record['facts']['checkpoint']) == 16
  assert record['facts']['recipe'] == ''
  fingerprints = {row['evaluation']: row['data'] for row in record['rows']}
  assert all(fingerprints.values())
  assert len(set(fingerprints.values())) == 2
  page = (workdir / 'report.html').read_text()
  assert 'Un ' in page
  for figure in ('figures/loss', 'figures/recall', 'figures/human-fr'):
    assert figure in page


def test_evaluation_needs_the_workdir_alone(workdir):
  before = json.loads((workdir / 'evaluation.json').read_text())
  (workdir / 'evaluation.json').unlink()
  main.main(['main.py', '--mode=eval', f'--workdir={workdir}'])
  assert json.loads((workdir / 'evaluation.json').read_text()) == before


def test_the_same_command_again_changes_nothing(workdir):
  history = (workdir / 'metrics.jsonl').read_text()
  main.main(['main.py', f'--config={workdir}/config.json'])
  assert (workdir / 'metrics.jsonl').read_text() == history


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['--config=configs/nothing.py'], 'There is no config configs/nothing.py'),
    (['--config=configs/stamps.py:xx'], "language 'xx'. Choose one of fr, ro"),
    (
      ['--config=configs/stamps.py', '--config.model.embed_dmi=3'],
      'Did you mean "embed_dim"',
    ),
    (
      ['--config=configs/stamps.py', '--config.model.embed_dim=wide'],
      'embed_dim',
    ),
    (['--config=configs/avlnet.py'], 'configs/stamps.py'),
    (['--mode=eval'], 'runs/avlnet/checkpoints'),
    (['--config.modle.embed_dim=3'], 'Did you mean "model"'),
    (['eval'], 'Unknown arguments: eval'),
    (['--config.model.structure=relese'], 'structure must be one of'),
    (['--config.optimizer.schedule=linear'], 'schedule must be'),
    (['--config=configs/avlnet.py:x'], 'is not a config'),
    (['--mode=reproduce', '--workdir=/nowhere/at/all'], 'no folder /nowhere'),
    (['--mode=import'], "There is no file ''"),
    (['--mode=export'], 'Name the one to write'),
    (['--config=configs/finetune.py:lsmdc'], 'Choose one of youcook2'),
    (['--config=configs/finetune.py:crosstask'], 'no checkpoint'),
    (
      ['--config=configs/finetune.py:crosstask', '--config.initial_workdir='],
      'crosstask_clips_tra',
    ),
    (['--config=configs/stamps.py:fr,quad'], "Unknown model 'quad'"),
  ],
)
def test_what_is_wrong_is_named(arguments, message, tmp_path, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  monkeypatch.chdir(tmp_path)  # Default workdirs are below it.
  with pytest.raises(UserError, match=message):
    main.main(['main.py', *arguments])


def test_workdirs(tmp_path):
  def workdir(*arguments):
    return str(main.read_arguments(['main.py', *arguments])[2])

  assert workdir() == 'runs/avlnet'
  assert workdir('--config=configs/stamps.py') == 'runs/stamps'
  assert workdir('--config=configs/stamps.py:fr+es') == 'runs/stamps_fr+es'
  assert workdir('--config', 'configs/stamps.py:es') == 'runs/stamps_es'
  path = tmp_path / 'config.json'
  path.write_text(read_config('configs/stamps.py').to_json())
  assert workdir(f'--config={path}') == str(tmp_path)
  _, config, _ = main.read_arguments(['main.py', f'--workdir={tmp_path}'])
  assert config.to_dict() == read_config('configs/stamps.py').to_dict()


def test_a_batch_that_devices_cannot_share(workdir, stamps_records, tmp_path):
  arguments = [
    f'--workdir={tmp_path}',
    f'--config.data_dir={stamps_records}',
    *(a.replace('batch_size=8', 'batch_size=7') for a in SMALL),
  ]
  with pytest.raises(UserError, match='batch of 7 clips'):
    main.main(['main.py', '--config=configs/stamps.py', *arguments])


@pytest.mark.slow
def test_a_comparison_trains_evaluates_and_shows(
  workdir, stamps_folder, stamps_records, tmp_path, capsys
):
  runs = "(('zero-shot', {'num_steps': 0}), ('fine-tuned', {}))"
  arguments = [
    '--mode=compare',
    '--config=configs/finetune.py:stamps_fr',
    f'--workdir={tmp_path}',
    f'--config.data_dir={stamps_records}',
    f'--config.prepare.media_dir={stamps_folder}',
    f'--config.initial_workdir={workdir}',
    f'--config.comparison.runs={runs}',
    '--config.comparison.seeds=(7,)',
    *SMALL,
  ]
  main.main(['main.py', *arguments])
  rows = read_history(tmp_path / 'fine-tuned' / 'seed7' / 'metrics.jsonl')
  assert rows[-1]['step'] == 3
  assert not (tmp_path / 'zero-shot').exists()
  printed = capsys.readouterr().out
  assert '| human\\_fr | audio → video | test | zero-shot | 1 |' in printed
  assert '| human\\_fr | video → audio | test | fine-tuned | 1 |' in printed
  assert 'Never in the top 5' in (tmp_path / 'report.html').read_text()


def test_another_model_in_the_workdir(workdir):
  with pytest.raises(
    UserError, match='embed_dim: 16 in the checkpoint, 32 in this run'
  ):
    main.main(
      ['main.py', f'--workdir={workdir}', '--config.model.embed_dim=32']
    )


def test_errors_end_with_one_line_and_no_success(tmp_path):
  result = subprocess.run(
    [sys.executable, 'main.py', '--mode=eval', f'--workdir={tmp_path}'],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.returncode == 1
  assert result.stderr.startswith('error: There is no checkpoint in')
  assert 'Traceback' not in result.stderr


@pytest.mark.parametrize(
  ('option', 'message'),
  [
    ('words.vectors=nowhere.bin', 'no word vectors nowhere.bin'),
    ('initial_workdir=nowhere', 'no checkpoint'),
    ('image_weights=nowhere.pth', 'nowhere.pth'),
  ],
)
def test_what_is_missing_is_told_before_preparing(
  tmp_path, monkeypatch, option, message
):
  def prepare(**_):
    pytest.fail('it was prepared first')

  monkeypatch.setattr(input_pipeline, 'prepare', prepare)
  monkeypatch.chdir(ROOT)
  with pytest.raises(UserError, match=message):
    main.main(
      [
        'main.py',
        '--config=configs/stamps.py',
        f'--workdir={tmp_path}/run',
        f'--config.{option}',
        *SMALL,
      ]
    )


@pytest.mark.slow
def test_text_is_learned_late(workdir, stamps_folder, stamps_records, tmp_path):
  """From the audio-video run to the curve over few captions."""
  (tmp_path / 'fr.vec').write_text('Un 1 0 1\nune 0 1 0\n')
  arguments = [
    '--mode=compare',
    '--config=configs/low_resource.py',
    f'--config.initial_workdir={workdir}',
    f'--config.words.vectors={tmp_path}/fr.vec',
    '--config.model.word_dim=3',
    f'--config.data_dir={stamps_records}',
    f'--config.prepare.media_dir={stamps_folder}',
    *SMALL,
    '--config.comparison.seeds=(7,)',
  ]
  _, config, _ = main.read_arguments(['main.py', *arguments])
  few = {'train_data': {'split': 'train[:9]', 'batch_size': 8}}
  changes = dict(config.comparison.runs)
  config.comparison.runs = (
    ('heard', changes['audio-only-0']),
    ('begun', changes['text+audio-from-zero-0']),
    ('read', changes['text+audio-from-zero-12'] | few),
  )
  config.comparison.curve = (
    ('heard', 'audio', 0),
    ('begun', 'both', 0),
    ('read', 'both', 9),
  )
  compare.compare(config, tmp_path, input_pipeline)
  assert 'R@10 over captions' in (tmp_path / 'report.md').read_text()
  rows = json.loads((tmp_path / 'comparison.json').read_text())
  recalls = {
    (row['evaluation'], row['run']): (row['R@5'], row['median_rank'])
    for row in rows
  }
  assert len(recalls) == 6
  for evaluation in ('clean', 'noisy'):
    # A text term that begins at zero leaves the audio as it was.
    heard, begun = (recalls[evaluation, run] for run in ('heard', 'begun'))
    assert heard == begun
