"""Runs with one checkpoint of random variables, and their visual networks."""

import functools
import pathlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from avl_jax.checkpoints import checkpointer, metadata
from avl_jax.config import read_config, write_config
from avl_jax.features import video
from avl_jax.models import avlnet
from avl_jax.train import step as training_step

WIDTH = 1280  # of visual features


def make_run(
  folder: pathlib.Path,
  name: str = 'configs/stamps.py',
  num_frames: int = 64,
  seed: int = 3,
  visual_width: int = WIDTH,
  networks: Mapping[str, str] = MappingProxyType({}),
  **model,
):
  """A run of a small model; returns its folder and its config.

  Args:
    folder: of the run.
    name: of the config that it starts from.
    num_frames: of recordings in evaluations.
    seed: of the variables.
    visual_width: of the features that the model takes.
    networks: of these features; {}: not known.
    **model: keyword arguments of the model.
  """
  config = read_config(name)
  config.model.update({'embed_dim': 16, 'widths': (4,) * 5, **model})
  config.eval_data.num_frames = num_frames
  net = avlnet.AVLnet(**config.model)
  variables = avlnet.init_variables(net, visual_width, seed=seed)
  description = metadata.describe(
    config.model, visual_width, 'made up', networks=networks
  )
  checkpoints = checkpointer.Checkpoints(folder, description)
  zero = np.int32(0)
  checkpoints.save(training_step.TrainState(zero, variables, {}, zero), {})
  checkpoints.close()
  write_config(config, folder)
  return folder, config


class Extractor:
  """Takes the place of the networks: features of the mean of a picture.

  Attributes:
    calls: names of the files, or 'picture'.
  """

  calls: list[str] = []  # noqa: RUF012 - Of all of them.

  def __init__(self, *, resnet152, resnext101):
    assert (resnet152, resnext101) == ('efficientnet_lite0', '')
    self.widths, self.seconds = {'visual_2d': WIDTH}, {}

  def __call__(self, path, start, end, frames=None):
    """A row for each second."""
    self.calls.append(path.name)
    frames = frames or functools.partial(video.frames, path)
    rows = [_row(x) for x in frames(1, 48, False, start, end)]
    return {'visual_2d': np.float16(rows).reshape(-1, WIDTH)}

  def image_features(self, images):
    """float32 [n, V]."""
    self.calls.append('picture')
    return np.float32([_row(x) for x in images])


def _row(picture):
  return np.cos(np.arange(WIDTH) * picture.mean() / 40)
