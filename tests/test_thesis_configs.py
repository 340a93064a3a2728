"""The thesis' fine-tuning recipes: their numbers, and that they bind."""

import inspect
import json
import pathlib
import pickle

import numpy as np
import pytest

import input_pipeline
import main
from avl_jax import evaluate, model, release, thesis, train
from configs import ablation, fraction, places, thesis_finetune
from input_pipeline import preparation
from input_pipeline.datasets import clips, spoken_captions
from tests import golden
from tests.test_exchange import small_state

ARGUMENTS = [
  f'{name}{regime}'
  for name in thesis_finetune.CLIPS
  for regime in ('', ',scratch')
]
CONFIGS = [
  *(f'thesis_finetune:{argument}' for argument in ARGUMENTS),
  *(f'ablation:{row}' for row in ablation.NUM_FRAMES),
  *(f'fraction:{share}' for share in fraction.SHARES),
  *(f'places:{argument}' for argument in places.ARGUMENTS),
  'avlnet:',
  'avlnet_2d:',
  'avlnet_text_tri:',
  'avlnet_text_fused:',
]


def _config(name):
  file, _, argument = name.partition(':')
  path = pathlib.Path(main.__file__).parent / f'configs/{file}.py'
  return main.read_config(f'{path}:{argument}' if argument else str(path))


@pytest.mark.parametrize('name', CONFIGS)
def test_recipe_binds_to_what_it_configures(name):
  config = _config(name)
  network = model.AVLnet(**config.model)
  optimizer = train.make_optimizer(
    **config.optimizer, num_steps=config.num_steps
  )
  train.make_step(network, optimizer, **config.loss)
  given = {'words': config.words}
  for function, options in (
    (input_pipeline.train_batches, {**config.train_data, **given, 'seed': 1}),
    (input_pipeline.eval_batches, {**config.eval_data, **given}),
    (evaluate.retrieval, config.eval),
    (input_pipeline.prepare, config.prepare),
  ):
    inspect.signature(function).bind_partial(**options)
  used = [(config.train_data.datasets[0], config.train_data.split)]
  for evaluation in config.eval_data.evaluations.values():
    used.append((evaluation['datasets'][0], evaluation['splits'][0]))
  builders = {c.name: c.files for c in clips.Clips.BUILDER_CONFIGS}
  splits = {f'clips/{key}': set(files) for key, files in builders.items()}
  splits['videos/howto100m'] = {'train'}
  for builder in spoken_captions.SpokenCaptions.BUILDER_CONFIGS:
    splits[f'spoken_captions/{builder.name}'] = set(builder.lists)
  for dataset, split in used:
    assert split.partition('[')[0] in splits[dataset]
    assert dataset in config.prepare.datasets


def test_fractions_and_ablations():
  small, whole = _config('fraction:2'), _config('fraction:100')
  assert whole.num_steps == _config('avlnet:').num_steps
  assert small.num_steps == 30 * (23_321 // 128)
  assert small.train_data.split == 'train[:2%]'
  base, asr = _config('ablation:base'), _config('ablation:asr')
  assert base.num_steps == 15 * (1_166_089 // 64)
  assert (base.train_data.min_time, asr.train_data.min_time) == (0, 10)
  assert _config('ablation:20s').train_data.num_frames == 2000
  for name in ('ablation:2d', 'avlnet_2d:'):
    config = _config(name)
    streams = {config.train_data.streams, config.eval_data.streams}
    assert streams == {('visual_2d',)}
  rows = {row.recipe for table in thesis.TABLES for row in table.rows}
  for name in CONFIGS:
    assert _config(name).recipe in rows | {''}


def test_hyper_parameters():
  """Of the release's commands, REFERENCE's rows R5 and R6."""
  tuned = thesis_finetune.get_config('youcook2')
  assert tuned.num_steps == 5 * (9_586 // 256) == 185
  assert tuned.train_data.batch_size == 256
  assert (tuned.optimizer.learning_rate, tuned.optimizer.decay_rate) == (
    1e-4,
    1,
  )
  assert tuned.train_data.num_frames == tuned.eval_data.num_frames == 5_120
  assert tuned.model.embed_dim == 4096
  assert tuned.model.frozen_statistics
  assert tuned.initial_workdir == 'runs/avlnet'
  alone = thesis_finetune.get_config('msrvtt,scratch')
  assert alone.num_steps == 15 * (6_783 // 64)
  assert alone.train_data.num_frames == 3_072
  assert alone.model.embed_dim == 2048
  assert alone.initial_workdir == ''
  assert alone.eval_data.evaluations.msrvtt.num_queries == 1_000


def test_every_recipe_has_its_cells():
  rows = {
    (row.recipe, row.evaluation)
    for table in thesis.TABLES
    for row in table.rows
  }
  for argument in ARGUMENTS:
    config = thesis_finetune.get_config(argument)
    name, _, regime = argument.partition(',')
    assert (config.recipe, name) in rows
    for evaluation in config.eval_data.evaluations:
      assert regime or (config.recipe, evaluation) in rows


def test_a_data_set_alone():
  for regime in ('', ',scratch'):
    whole = thesis_finetune.get_config(f'youcook2{regime}')
    alone = thesis_finetune.get_config(f'youcook2{regime},alone')
    assert alone.prepare.datasets == ('clips/youcook2',)
    assert list(alone.eval_data.evaluations) == ['youcook2']
    assert (alone.recipe, alone.num_steps) == (whole.recipe, whole.num_steps)


@pytest.mark.parametrize('argument', ['lsmdc', 'youcook2,zero', ''])
def test_unknown_recipes(argument):
  with pytest.raises(ValueError, match='expected one of youcook2'):
    thesis_finetune.get_config(argument)


def _write_clips(folder, name, count):
  made = [
    {
      'id': f'{name}{i}',
      '2d': golden.normal(f'{name}/{i}/2d', (2048,)),
      '3d': golden.normal(f'{name}/{i}/3d', (2048,)),
      'audio': golden.normal(f'{name}/{i}/audio', (40, 50 + i)),
      'caption': 'stir',
    }
    for i in range(count)
  ]
  (folder / name).write_bytes(pickle.dumps(made))


def test_from_the_authors_files_to_the_tables(tmp_path, monkeypatch):
  """Weights imported, fine-tuned on pickles, evaluated, in no real cell."""
  monkeypatch.chdir(pathlib.Path(main.__file__).parent)
  state = small_state()
  weight = golden.normal('GU_video.fc.weight', (12, 4096))
  state['GU_video.fc.weight'] = weight
  release.write_state_dict(tmp_path / 'AVLnet_release.pth', state)
  builders = {c.name: c.files for c in clips.Clips.BUILDER_CONFIGS}
  for name in ('youcook2', 'youcook_japanese'):
    for split, (file, _) in builders[name].items():
      _write_clips(tmp_path, file, 8 if split == 'train' else 3)
  (tmp_path / preparation.SYNTHETIC).touch()
  files = (
    f'--config.release.file={tmp_path}/AVLnet_release.pth',
    '--config.compilation_cache=',
  )
  main.main(
    ['main.py', '--mode=import', f'--workdir={tmp_path}/runs/released', *files]
  )
  main.main(
    [
      *('main.py', '--config=configs/thesis_finetune.py:youcook2', *files),
      f'--workdir={tmp_path}/runs/tuned',
      f'--config.data_dir={tmp_path}/records',
      f'--config.prepare.media_dir={tmp_path}',
      f'--config.initial_workdir={tmp_path}/runs/released',
      '--config.num_steps=2',
      '--config.train_data.batch_size=8',
      '--config.train_data.num_frames=64',
      '--config.eval_data.num_frames=64',
      '--config.model.structure=release',
      '--config.model.embed_dim=12',
      '--config.model.widths=(4, 4, 6, 8, 10)',
      '--config.model.dtype=float32',
    ]
  )
  record = json.loads((tmp_path / 'runs/tuned/evaluation.json').read_text())
  assert record['facts']['recipe'] == 'finetune/youcook2'
  assert record['facts']['data'].startswith('synthetic-')
  evaluations = {row['evaluation'] for row in record['rows']}
  names = {'youcook2', 'speech241', 'sounds241', 'youcook_japanese'}
  assert evaluations == names
  assert all(np.isfinite(row['R@10']) for row in record['rows'])
  main.main(['main.py', '--mode=reproduce', f'--workdir={tmp_path}/runs'])
  page = (tmp_path / 'runs/thesis.md').read_text()
  assert 'tuned/evaluation.json | SYNTHETIC: the model was trained' in page
  assert '3 of 3350' not in page
