"""What a run begins with: random variables, published ones, another run's."""

import os
from collections.abc import Mapping

from avl_jax.backbones import resnet
from avl_jax.checkpoints import checkpointer
from avl_jax.errors import ConfigError
from avl_jax.models.avlnet import AVLnet, carry_over, init_variables

_ENCODER = 'image_encoder'


def begin(
  model: AVLnet,
  description: Mapping,
  *,
  image_weights: str | os.PathLike,
  workdir: str | os.PathLike,
) -> dict:
  """Variables of a run that nothing is restored to.

  Args:
    model: of the run.
    description: of `descriptions.describe`, of the same.
    image_weights: file of PyTorch with the image encoder, such as torchvision's
      `resnet152-b121ed2d.pth`; '': none.
    workdir: of a run whose best variables are taken for all that they have; '':
      none.

  Returns:
    {'params', 'batch_stats'}.

  Raises:
    ConfigError: the weights are not of the model, or its frozen image encoder
      would be random.
    ReleaseError: `image_weights` cannot be read.
    CheckpointError: the other run has no checkpoint.
  """
  weights, source = {}, {}
  if image_weights:
    weights = _read_image_weights(image_weights, model)
  if workdir:
    source = checkpointer.load_variables(workdir, description)
  encoded = weights or _ENCODER in source.get('params', {})
  if model.image_blocks and model.frozen_image and not encoded:
    raise ConfigError(
      'the image encoder is random and would stay so: name its weights, '
      '--config.image_weights=resnet152-b121ed2d.pth (torchvision, '
      'IMAGENET1K_V1)'
    )
  variables = init_variables(
    model, description['visual_width'], description['seed']
  )
  for collection, tree in weights.items():
    variables[collection][_ENCODER] = tree
  return carry_over(source, variables) if source else variables


def check(
  model: AVLnet, *, image_weights: str | os.PathLike, workdir: str | os.PathLike
) -> None:
  """Raises what `begin` would that needs no data, before days of preparing."""
  if image_weights:
    _read_image_weights(image_weights, model)
  if workdir:
    checkpointer.provenance(workdir)


def _read_image_weights(file: str | os.PathLike, model: AVLnet) -> dict:
  network, weights = resnet.load(file)
  if network.blocks != model.image_blocks:
    raise ConfigError(
      f'{os.fspath(file)} is a ResNet of blocks {network.blocks}, but the '
      f'model takes {model.image_blocks}: set model.image_blocks, () without '
      'pictures, or other image_weights'
    )
  return weights
