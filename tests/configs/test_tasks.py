"""Losses and tasks of the configs name embeddings that their models give."""

import math

import jax
import numpy as np
import pytest

from avl_jax.config import read_config
from avl_jax.models import avlnet
from avl_jax.modes import compare

TRI = {'audio', 'video', 'text'}
FUSED = TRI | {'audio_text'}


@pytest.mark.parametrize(
  ('name', 'embeddings'),
  [
    ('avlnet.py', {'audio', 'video'}),
    ('avlnet_text_tri.py', TRI),
    ('avlnet_text_fused.py', FUSED),
    ('stamps.py', {'audio', 'video'}),
    ('stamps.py:fr,tri', TRI),
    ('stamps.py:es+ru,fused', FUSED),
    ('low_resource.py:es', FUSED),
  ],
)
def test_pairs_and_tasks_name_embeddings_of_the_model(name, embeddings):
  config = read_config(f'configs/{name}')
  network = avlnet.AVLnet(**config.model)
  variables = jax.eval_shape(lambda: avlnet.init_variables(network, 8))
  batch = {
    'spectrogram': np.zeros((2, 16, 40), np.float32),
    'num_frames': np.ones(2, np.int32),
    'visual': np.zeros((2, 8), np.float32),
    'words': np.zeros((2, 3, network.word_dim or 4), np.float32),
  }
  shapes = jax.eval_shape(
    lambda v, b: network.apply(v, b, train=False), variables, batch
  )
  assert shapes.keys() == embeddings
  named = {
    part
    for expressions in (*config.loss.pairs, *config.eval.tasks)
    for expression in expressions
    for part in expression.split('+')
  }
  assert named <= embeddings
  assert bool(config.words.vectors) == ('text' in embeddings)


def test_steps_and_windows_of_the_text_models():
  for name, epochs in (('tri', 15), ('fused', 15)):
    config = read_config(f'configs/avlnet_text_{name}.py')
    epoch = math.floor(1_166_089 / config.train_data.batch_size)
    assert config.num_steps == epochs * epoch
    assert config.optimizer.decay_steps == epoch
    # Windows are cut around captions, which are their text.
    seconds = config.train_data.num_frames / 100
    assert config.train_data.min_time == seconds


def test_low_resource_runs():
  config = read_config('configs/low_resource.py:es')
  assert config.initial_workdir == 'runs/stamps_es'
  runs = {name: run for name, _, run in compare.expand(config)}
  assert list(runs) == [name for name, _, _ in config.comparison.curve]
  assert len({run.model.initial_text_scale for run in runs.values()}) == 2
  for name, _, captions in config.comparison.curve:
    run = runs[name]
    assert run.loss.pairs == run.eval.tasks
    # Training uses only the first captions of the train half.
    assert run.train_data.datasets == ('stamps/human_es',)
    if captions:
      assert run.train_data.split == f'train[:{captions}]'
      assert run.train_data.batch_size <= captions
    else:
      assert run.num_steps == 0
  for evaluation in config.comparison.evaluations.values():
    assert evaluation.splits == ('test',)
