"""Metadata of checkpoints: networks of features, data of a training."""

import pathlib

import pytest

from avl_jax.checkpoints import metadata
from avl_jax.checkpoints.metadata import CheckpointError

PATH = pathlib.Path('runs/old/checkpoints/7')


def _described(examples=9, data='before', **networks):
  return metadata.describe(
    {}, 5, data, seed=1, batch_size=8, examples=examples, networks=networks
  )


@pytest.mark.parametrize(
  ('old', 'new'),
  [
    ({'visual_2d': 'a'}, {'visual_2d': 'a'}),
    ({}, {'visual_2d': 'a'}),
    ({'visual_2d': 'a'}, {}),
    ({'visual_2d': 'a', 'visual_3d': 'b'}, {'visual_2d': 'a'}),
  ],
)
def test_networks_that_agree_or_are_not_known(old, new):
  metadata.check_networks(_described(**old), _described(**new), 'It')
  metadata.check_training(_described(**old), _described(**new), PATH)


def test_both_networks_are_named():
  old, new = _described(visual_2d='a', visual_3d='b'), _described(visual_3d='c')
  message = 'takes visual_3d of the network b. The records have c'
  with pytest.raises(CheckpointError, match=message):
    metadata.check_networks(old, new, 'It')
  with pytest.raises(CheckpointError, match=f'runs/old/.*{message}'):
    metadata.check_training(old, new, PATH)


def test_a_checkpoint_from_before_the_key_passes():
  old = _described()
  del old['networks']
  metadata.check_networks(old, _described(visual_2d='a'), 'It')


@pytest.mark.parametrize('examples', [9, 0])
def test_other_data_are_refused_with_the_command_that_goes_on(examples):
  old, new = _described(examples), _described(11, 'after')
  with pytest.raises(CheckpointError) as error:
    metadata.check_training(old, new, PATH)
  text = str(error.value)
  known = 'examples: 9 in the checkpoint, 11 in this run'
  assert (known in text) == bool(examples)
  assert "data: 'before' in the checkpoint, 'after' in this run" in text
  assert '--config.initial_workdir=runs/old --workdir=NEW' in text
