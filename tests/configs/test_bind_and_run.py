"""Every config, with every argument: binds and trains two small steps."""

import functools
import inspect
import json
import pathlib

import jax
import numpy as np
import pytest

import input_pipeline
import main
from avl_jax import config_checks, parallel
from avl_jax.config import read_config, tuples
from avl_jax.models import avlnet
from avl_jax.modes import compare, convert
from avl_jax.retrieval import evaluation
from avl_jax.train import loop
from avl_jax.train import optimizer as optimizers
from avl_jax.train import step as training_step
from configs import (
  ablation,
  baseline,
  clips_small,
  finetune,
  fraction,
  narrated_cascade,
  places,
  stamps,
  zero_shot,
)
from input_pipeline.batches import eval as eval_batches
from input_pipeline.datasets.stamps import tuxpaint
from input_pipeline.records import reader
from input_pipeline.transforms import audio_augmentation, caption_vectors
from tests.helpers import golden

CONFIGS = pathlib.Path(main.__file__).parent / 'configs'
ARGUMENTS = {  # config -> its arguments; '': none
  'ablation': tuple(ablation.CHANGES),
  'ablation_small': ('', 'es'),
  'avlnet': ('',),
  'avlnet_2d': ('',),
  'avlnet_text_fused': ('',),
  'avlnet_text_tri': ('',),
  'baseline': baseline.ARGUMENTS,
  'cascade': ('', 'fr+el'),
  'clips_small': ('', '2.5s', '10%+captions'),
  'finetune': (
    *(*finetune.ARGUMENTS, 'youcook2,alone'),
    *('stamps_fr', 'stamps_el', 'narrated_el'),
  ),
  'fraction': tuple(map(str, fraction.SHARES)),
  'low_resource': ('', 'es'),
  'narrated_cascade': ('',),
  'narrated_finetune': ('',),
  'narrated_videos': ('', 'es'),
  'own_videos': ('', 'untrimmed', 'clips', 'speech'),
  'places': places.ARGUMENTS,
  'sounds': ('', 'es'),
  'stamps': ('', 'es', 'fr+es', 'fr,tri', 'es+ru,fused'),
  'stamps_finetune': ('', 'es'),
  'zero_shot': (*zero_shot.MODELS, 'tri,msrvtt'),
}
NAMES = [f'{name}:{a}' for name, each in ARGUMENTS.items() for a in each]
# Each compiles a loss or a head that others have, in the regime of others.
_AGAIN = {
  *(f'baseline:{each}' for each in baseline.ARGUMENTS if ',' in each),
  *(
    f'finetune:{name},{row}'
    for name in ('youcook2', 'crosstask')
    for row, changes in ablation.CHANGES.items()
    if changes.keys() & {'model', 'loss'}
  ),
}
TRAINED = [
  pytest.param(name, marks=pytest.mark.slow) if name in _AGAIN else name
  for name in NAMES
]
EXAMPLES, FRAMES, VISUAL, WORDS, SIDE = 8, 16, 6, 3, 32
DEVICES = 2
GUESS = {  # loss -> of one pair of embeddings whose scores are all the same
  'mms': 2 * np.log(EXAMPLES),
  'infonce': np.log(EXAMPLES),
  'bce': np.log(2),
  'mil_nce': np.log(2 * EXAMPLES),
  'max_margin': 2 * 0.1,
  'sampled_margin': 2 * 1.0,
}


def test_every_config_is_listed():
  assert set(ARGUMENTS) == {path.stem for path in CONFIGS.glob('*.py')}


def test_stamps_lists_the_languages_of_the_data_set():
  assert stamps.LANGUAGES == tuxpaint.LANGUAGES
  with pytest.raises(ValueError, match=r"language 'en'\. Choose one of fr"):
    stamps.get_config('es+en')


@pytest.mark.parametrize(
  ('config', 'argument', 'message'),
  [
    (clips_small, '5s', 'The rows are .* each once'),
    (clips_small, 'base+base', 'The rows are .* each once'),
    (narrated_cascade, 'fr', 'Expected two different ones'),
    (narrated_cascade, 'fr+fr', 'Expected two different ones'),
    (narrated_cascade, 'fr+es+el', 'Expected two different ones'),
    (narrated_cascade, 'fr+en', "Unknown language 'en'"),
  ],
)
def test_wrong_arguments_are_refused(config, argument, message):
  with pytest.raises(ValueError, match=message):
    config.get_config(argument)


def read(name):
  """The config of 'avlnet:' or 'stamps:fr+es'."""
  file, _, argument = name.partition(':')
  path = CONFIGS / f'{file}.py'
  return read_config(f'{path}:{argument}' if argument else str(path))


def _runs(name):
  """The config and the runs that its comparison trains, each with one seed."""
  config = read(name)
  runs = [config]
  if config.comparison.runs:
    each = {run: c for run, _, c in compare.expand(config)}.values()
    runs += [run for run in each if run.num_steps]
  return runs


def _bind(function, options):
  inspect.signature(function).bind_partial(**options)


@pytest.mark.parametrize('name', NAMES)
def test_binds_to_the_functions_it_configures(name):
  config = read(name)
  _bind(input_pipeline.prepare, config.prepare)
  _bind(convert.import_release, config.release)
  for run in _runs(name):
    config_checks.check(run)
    words = {'words': run.words}
    network = avlnet.AVLnet(**run.model)
    optimizer = optimizers.make_optimizer(
      **run.optimizer, num_steps=run.num_steps
    )
    training_step.make_step(network, optimizer, **run.loss)
    audio_augmentation.Augmentation(**run.train_data.augmentation)
    _bind(input_pipeline.train_batches, {**run.train_data, **words})
    _bind(input_pipeline.eval_batches, {**run.eval_data, **words})
    _bind(caption_vectors.CaptionVectors, run.words)
    _bind(evaluation.retrieval, run.eval)
    options = run.train.to_dict()
    of_step = {
      key: options.pop(key) for key in ('frozen', 'pieces', 'score_rows')
    }
    _bind(training_step.make_step, {**of_step, **run.loss})
    _bind(loop.Loop, options)
    for evaluations in (
      run.eval_data.evaluations,
      config.comparison.evaluations,
    ):
      for each in evaluations.values():
        _bind(eval_batches.open_evaluation, each)
        _bind(reader.Records, each.get('groups_of', {}))


def _shrunken(config):
  """The same regime with a narrow model; an epoch is one step, a run two steps.

  Of the audio network there is the first layer, which has statistics too.
  Configs that differ only in sizes become equal, so that they compile once.
  """
  config = config.copy_and_resolve_references()
  if config.model.word_dim:
    config.model.word_dim = 4
  config.model.update(embed_dim=8, widths=(4,), blocks=(), dtype='float32')
  if config.model.image_blocks:
    config.model.image_blocks = (1,)
  config.optimizer.decay_steps = 1
  keys = ('model', 'loss', 'optimizer')
  return json.dumps({key: config[key].to_dict() for key in keys})


@functools.cache
def _initial(settings):
  """Variables before the first step, of a model's settings."""
  network = avlnet.AVLnet(**tuples(json.loads(settings)))
  return jax.device_get(avlnet.init_variables(network, VISUAL, seed=1))


@functools.cache
def _compiled(settings):
  """(variables, optimizer, step, losses of two steps, state after them)."""
  settings = tuples(json.loads(settings))
  network = avlnet.AVLnet(**settings['model'])
  optimizer = optimizers.make_optimizer(**settings['optimizer'], num_steps=2)
  step = parallel.pmap_step(
    training_step.make_step(network, optimizer, **settings['loss'])
  )
  variables = _initial(json.dumps(settings['model']))
  state = training_step.create_state(variables, optimizer)
  seen = []
  for i in range(2):
    batch = _batch(i, network)
    state, metrics = step(state, parallel.shard(batch))
    seen.append({name: float(value) for name, value in metrics.items()})
  return variables, jax.device_get(state), seen


def _batch(step, network):
  """A batch as of the pipeline; see input_pipeline/schema.py."""
  spectrogram = golden.normal(f'{step}/dB', (EXAMPLES, FRAMES, 40)) - 3
  num_frames = np.arange(FRAMES, FRAMES - EXAMPLES, -1, dtype=np.int32)
  for i, length in enumerate(num_frames):
    spectrogram[i, length:] = 0
  batch = {
    'spectrogram': np.clip(spectrogram, -80, 0),
    'num_frames': num_frames,
    'visual': np.abs(golden.normal(f'{step}/visual', (EXAMPLES, VISUAL))),
  }
  if network.image_blocks:
    del batch['visual']
    shape = EXAMPLES, SIDE, SIDE, 3
    noise = golden.normal(f'{step}/image', shape)
    batch['image'] = np.uint8(np.clip(128 + 40 * noise, 0, 255))
  if network.word_dim:
    shape = EXAMPLES, WORDS, network.word_dim
    batch['words'] = golden.normal(f'{step}/words', shape)
    batch['words'][::2, -1] = 0
  return batch


@pytest.mark.parametrize('name', TRAINED)
def test_trains_two_steps(name, use_devices):
  use_devices(DEVICES)
  _check_two_steps([read(name)])


@pytest.mark.slow
@pytest.mark.parametrize(
  'name', [name for name in NAMES if read(name).comparison.runs]
)
def test_runs_of_a_comparison_train_two_steps(name, use_devices):
  use_devices(DEVICES)
  _check_two_steps(_runs(name))


def _check_two_steps(configs):
  for settings in {_shrunken(config) for config in configs}:
    config = json.loads(settings)
    variables, state, seen = _compiled(settings)
    assert int(state.step) == 2
    assert all(metrics['skipped'] == 0 for metrics in seen)
    # The first loss is that of a guess.
    guess = GUESS[config['loss']['name']] * len(config['loss']['pairs'])
    assert 0.5 * guess < seen[0]['loss'] < 2 * guess
    # Adam's first step is as large as the learning rate, its second at most
    # a little larger.
    rate = optimizers.make_schedule(**config['optimizer'], num_steps=2)
    moved = jax.tree.map(
      lambda new, old: np.abs(new - old).max(),
      state.variables['params'],
      variables['params'],
    )
    largest = max(jax.tree.leaves(moved))
    assert 0.9 * rate(0) < largest < 1.5 * (rate(0) + rate(1))
    still = {
      name: set(jax.tree.leaves(jax.tree.map(np.array_equal, *statistics)))
      for name in variables['batch_stats']
      if (
        statistics := [
          each['batch_stats'][name] for each in (state.variables, variables)
        ]
      )
    }
    frozen = config['model']['frozen_statistics']
    assert still.pop('audio_encoder') == {frozen}
    frozen |= config['model']['frozen_image']
    assert still == ({'image_encoder': {frozen}} if still else {})
