"""Recipes of the thesis: hyper-parameters, data sets, cells of its tables."""

import json
import pathlib
import pickle

import numpy as np
import pytest

import main
from avl_jax import torch_files
from avl_jax.checkpoints import loading
from avl_jax.config import read_config
from avl_jax.errors import UserError
from avl_jax.reports import thesis_tables
from avl_jax.retrieval.task import Task
from avl_jax.train import optimizer as optimizers
from configs import (
  ablation,
  baseline,
  finetune,
  fraction,
  places,
  zero_shot,
)
from input_pipeline.datasets.clips import builder as clips
from input_pipeline.datasets.spoken_captions import builder as spoken_captions
from input_pipeline.records import catalog
from tests.helpers import golden
from tests.helpers.small_release import small_state

CONFIGS = [
  *(f'finetune:{argument}' for argument in finetune.ARGUMENTS),
  *(f'zero_shot:{name}' for name in zero_shot.MODELS),
  *(f'ablation:{row}' for row in ablation.CHANGES),
  *(f'baseline:{argument}' for argument in baseline.ARGUMENTS),
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
  return read_config(f'{path}:{argument}' if argument else str(path))


@pytest.mark.parametrize('name', CONFIGS)
def test_a_recipe_prepares_the_data_sets_that_it_reads(name):
  config = _config(name)
  used = [(config.train_data.datasets[0], config.train_data.split)]
  if name.startswith('zero_shot'):  # It trains nothing.
    used = []
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
  rows = {row.recipe for table in thesis_tables.TABLES for row in table.rows}
  for name in CONFIGS:
    assert _config(name).recipe in rows | {''}


# Of the rows R5 to R9 and R11: epochs, batch size, learning rate, its decay per
# epoch, frames, D.
AUDIO_VIDEO = (5, 256, 1e-4, 1.0)
HYPER_PARAMETERS = {
  'youcook2': (*AUDIO_VIDEO, 5_120, 4096),
  'crosstask': (*AUDIO_VIDEO, 5_120, 4096),
  'msrvtt': (*AUDIO_VIDEO, 3_072, 4096),
  'youcook_japanese': (*AUDIO_VIDEO, 5_120, 4096),
  'youcook2,scratch': (15, 64, 1e-4, 1.0, 5_120, 4096),
  'msrvtt,scratch': (15, 64, 1e-4, 1.0, 3_072, 2048),
  'youcook2,tri': (3, 256, 1e-4, 0.9, 5_120, 6144),
  'msrvtt,tri': (15, 256, 1e-4, 1.0, 3_072, 6144),
  'lsmdc,tri': (15, 256, 1e-4, 1.0, 3_072, 6144),
  'youcook2,fused': (5, 256, 1e-5, 1.0, 5_120, 4096),
  'msrvtt,fused': (5, 256, 1e-5, 1.0, 3_072, 4096),
  'lsmdc,fused': (5, 256, 1e-5, 1.0, 3_072, 4096),
  'msrvtt,late': (5, 256, 1e-5, 1.0, 3_072, 4096),
  'youcook_japanese,10%': (*AUDIO_VIDEO, 5_120, 4096),
  'crosstask,asr': (*AUDIO_VIDEO, 5_120, 4096),
}
CLIPS = {
  'youcook2': 9_586,
  'crosstask': 17_840,
  'msrvtt': 6_783,
  'lsmdc': 101_079,
  'youcook_japanese': 10_000,
}


@pytest.mark.parametrize('argument', HYPER_PARAMETERS)
def test_hyper_parameters(argument):
  """Compared with the release's commands."""
  epochs, batch_size, rate, decay, frames, dim = HYPER_PARAMETERS[argument]
  name, _, variant = argument.partition(',')
  config = finetune.get_config(argument)
  epoch = CLIPS[name] // batch_size
  assert config.train_data.batch_size == batch_size
  assert config.num_steps == epochs * epoch
  schedule = optimizers.make_schedule(
    **config.optimizer, num_steps=config.num_steps
  )
  assert [schedule(i * epoch) for i in range(epochs)] == pytest.approx(
    [rate * decay**i for i in range(epochs)], rel=1e-5
  )
  assert config.train_data.num_frames == frames
  evaluation = config.eval_data.evaluations[name]
  assert evaluation.get('num_frames', config.eval_data.num_frames) == frames
  assert config.model.embed_dim == dim
  assert config.model.frozen_statistics
  assert config.model.pooling == 'masked'
  assert config.train_data.clips_per_example == 0
  pairs = {
    'tri': (('text', 'audio+video'),),
    'fused': (('audio_text', 'video'),),
    'late': (('audio_text', 'video'),),
  }
  assert config.loss.pairs == pairs.get(variant, (('audio', 'video'),))
  assert config.loss.pairs[0] in config.eval.tasks
  assert bool(config.initial_workdir) == (variant != 'scratch')


@pytest.mark.parametrize('argument', ['youcook2', 'youcook2,scratch'])
def test_a_data_set_alone(argument):
  whole = finetune.get_config(argument)
  alone = finetune.get_config(f'{argument},alone')
  assert alone.prepare.datasets == ('clips/youcook2',)
  assert list(alone.eval_data.evaluations) == ['youcook2']
  assert (alone.recipe, alone.num_steps) == (whole.recipe, whole.num_steps)


def test_msrvtt_counts_the_queries_without_sound():
  config = finetune.get_config('msrvtt')
  assert config.eval_data.evaluations.msrvtt.num_queries == 1_000
  assert config.train_data.split == 'train_7k'


def test_initial_workdirs_are_default_workdirs():
  made = set()
  for name in CONFIGS:
    file, _, argument = name.partition(':')
    config = f'configs/{file}.py' + (f':{argument}' if argument else '')
    made.add(str(main.read_arguments(['main.py', f'--config={config}'])[2]))
  assert {_config(name).initial_workdir for name in CONFIGS} - {''} <= made


def test_every_recipe_has_its_cells():
  tables = (*thesis_tables.TABLES, thesis_tables.FIGURE_5_3)
  rows = {(row.recipe, row.evaluation) for t in tables for row in t.rows}
  tasks = {(r.recipe, task) for t in tables for r in t.rows for task in t.tasks}
  filled = set()
  for name in CONFIGS:
    config = _config(name)
    for evaluation in config.eval_data.evaluations:
      assert (config.recipe, evaluation) in rows
      filled.add((config.recipe, evaluation))
    if config.recipe:
      asked = {Task(*task) for task in config.eval.tasks}
      wanted = {task for recipe, task in tasks if recipe == config.recipe}
      assert wanted <= asked
  lacking = {recipe.split('/')[:2][-1] for recipe, _ in rows - filled if recipe}
  # `late` is configs/finetune.py:DATASET,late without a step.
  assert lacking == {'late'}


@pytest.mark.parametrize('argument', ['lsmdc', 'youcook2,zero', ''])
def test_unknown_recipes(argument):
  with pytest.raises(ValueError, match='Choose one of youcook2'):
    finetune.get_config(argument)


def _write_clips(folder, name, count, frames=50):
  made = [
    {
      'id': f'{name}{i}',
      '2d': golden.normal(f'{name}/{i}/2d', (2048,)),
      '3d': golden.normal(f'{name}/{i}/3d', (2048,)),
      'audio': golden.normal(f'{name}/{i}/audio', (40, frames + i)),
      'caption': 'stir',
    }
    for i in range(count)
  ]
  (folder / name).write_bytes(pickle.dumps(made))


@pytest.fixture(scope='module')
def made_up(tmp_path_factory):
  """A folder of files as the authors released them, with synthetic content."""
  folder = tmp_path_factory.mktemp('released')
  state = small_state()
  weight = golden.normal('GU_video.fc.weight', (12, 4096))
  state['GU_video.fc.weight'] = weight
  torch_files.write_state_dict(folder / 'AVLnet_release.pth', state)
  builders = {c.name: c.files for c in clips.Clips.BUILDER_CONFIGS}
  for name in ('youcook2', 'youcook_japanese'):
    for split, (file, _) in builders[name].items():
      _write_clips(folder, file, 8 if split == 'train' else 3)
  (folder / catalog.SYNTHETIC).touch()
  (folder / 'words.vec').write_text('stir 1 0 1\n')
  return folder


def _run(folder, config, run, *more):
  """Runs main on these files, with a small model; returns the record."""
  main.main(
    [
      *('main.py', f'--config=configs/{config}', f'--workdir={folder}/{run}'),
      f'--config.data_dir={folder}/records',
      f'--config.prepare.media_dir={folder}',
      f'--config.release.file={folder}/AVLnet_release.pth',
      '--config.compilation_cache=',
      '--config.train_data.batch_size=8',
      '--config.train_data.num_frames=64',
      '--config.eval_data.num_frames=64',
      '--config.model.embed_dim=12',
      '--config.model.widths=(4, 4, 6, 8, 10)',
      '--config.model.dtype=float32',
      *more,
    ]
  )
  path = folder / run / 'evaluation.json'
  return json.loads(path.read_text()) if path.exists() else None


@pytest.mark.slow
def test_from_the_authors_files_to_the_tables(made_up, monkeypatch):
  """Imports weights, fine-tunes on pickles, evaluates; fills no cell."""
  monkeypatch.chdir(pathlib.Path(main.__file__).parent)
  runs = made_up / 'first'
  _run(made_up, 'avlnet.py', 'first/released', '--mode=import')
  record = _run(
    made_up,
    'finetune.py:youcook2',
    'first/tuned',
    f'--config.initial_workdir={runs}/released',
    '--config.num_steps=2',
    '--config.model.structure=release',
  )
  assert record['facts']['recipe'] == 'finetune/youcook2'
  assert record['facts']['data'].startswith('synthetic-')
  assert record['facts']['initial'].startswith('AVLnet_release.pth sha256:')
  assert record['facts']['examples'] == 8
  evaluations = {row['evaluation'] for row in record['rows']}
  names = {'youcook2', 'speech241', 'sounds241', 'youcook_japanese'}
  assert evaluations == names
  assert all(np.isfinite(row['R@10']) for row in record['rows'])
  untuned = _run(
    made_up,
    'zero_shot.py:avlnet,youcook2+sounds241',
    'first/released',
    '--mode=eval',
  )
  assert untuned['facts']['recipe'] == 'avlnet'
  assert untuned['facts']['checkpoint'] != record['facts']['checkpoint']
  main.main(['main.py', '--mode=reproduce', f'--workdir={runs}'])
  page = (runs / 'thesis.md').read_text()
  assert 'tuned/evaluation.json | SYNTHETIC: the model was trained' in page
  assert 'released/evaluation.json | SYNTHETIC: evaluated on made-up' in page
  assert '3 of 3350' not in page


def test_pooled_features_have_no_centre_frame(made_up, monkeypatch):
  """The authors' pickles, for a model of the frame in the centre."""
  monkeypatch.chdir(pathlib.Path(main.__file__).parent)
  folder = made_up / 'long'
  folder.mkdir()
  for name in ('youcook_train_audio.pkl', 'youcook_val_audio.pkl'):
    _write_clips(folder, name, 8, frames=400)
  with pytest.raises(UserError, match='pooled over the clip, without a centre'):
    _run(folder, 'baseline.py:boggust,youcook2,scratch', 'run')


@pytest.mark.slow
def test_late_text_at_step_0(made_up, monkeypatch):
  """Table 4.2, zero-shot: the audio-video model with random text."""
  monkeypatch.chdir(pathlib.Path(main.__file__).parent)
  _run(made_up, 'finetune.py:youcook2,scratch', 'heard', '--config.num_steps=0')
  record = _run(
    made_up,
    'finetune.py:youcook2,late',
    'late',
    f'--config.initial_workdir={made_up}/heard',
    f'--config.words.vectors={made_up}/words.vec',
    '--config.model.word_dim=3',
    '--config.num_steps=0',
    '--config.recipe=late',
  )
  assert (record['facts']['recipe'], record['facts']['step']) == ('late', 0)
  assert record['facts']['initial'].startswith('synthetic-')
  tasks = {row['task'] for row in record['rows']}
  assert tasks == {'audio_text -> video', 'video -> audio_text'}
  _, heard, _ = loading.load(made_up / 'heard')
  _, late, _ = loading.load(made_up / 'late')
  fused = late['params']['audio_text_head']
  np.testing.assert_array_equal(
    fused['audio']['kernel'], heard['params']['audio_head']['linear']['kernel']
  )
  assert np.abs(fused['text']['kernel']).max() > 0.1
