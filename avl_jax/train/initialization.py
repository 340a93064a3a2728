"""Initial variables: random, pretrained image weights, or another run's.

A new run loads what it needs before data preparation, which can take days, so
that a missing or wrong file stops it at once.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from avl_jax.backbones import resnet
from avl_jax.checkpoints import loading, metadata
from avl_jax.errors import ConfigError
from avl_jax.models import branches
from avl_jax.models.avlnet import AVLnet, init_variables
from avl_jax.models.transfer import carry_over

_ENCODER = 'image_encoder'


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Pretrained:
  """Weights from which a new run starts.

  Attributes:
    image_encoder: {'params', 'batch_stats'} of the image encoder; {}: none.
    variables: best variables of the initial workdir's run; {}: none.
    description: metadata of their checkpoint; {}: none.
    initial_workdir: path of that run, for messages.
  """

  image_encoder: Mapping = dataclasses.field(default_factory=dict)
  variables: Mapping = dataclasses.field(default_factory=dict)
  description: Mapping = dataclasses.field(default_factory=dict)
  initial_workdir: str | os.PathLike = ''

  @property
  def provenance(self) -> str:
    """Fingerprints of all data on which the variables were trained; or ''."""
    if not self.description:
      return ''
    return metadata.provenance(self.description)


def load_pretrained(
  model: AVLnet,
  *,
  image_weights: str | os.PathLike,
  initial_workdir: str | os.PathLike,
  frozen: Sequence[str] = (),
) -> Pretrained:
  """Checks the weight files and the initial workdir, and loads both.

  Args:
    model: model of the new run.
    image_weights: file with the image encoder's weights, such as torchvision's
      `resnet152-b121ed2d.pth`, or the same as safetensors; '': none.
    initial_workdir: workdir of a run whose best variables initialize the
      modules that they have; '': none.
    frozen: branches that are not trained.

  Raises:
    ConfigError: the weights are not of the model's image encoder, or a frozen
      image encoder or branch would have random weights.
    ReleaseError: `image_weights` cannot be read.
    CheckpointError: the initial workdir has no checkpoint, or a damaged one.
  """
  encoder = _read_image_weights(image_weights, model) if image_weights else {}
  variables, description = {}, {}
  if initial_workdir:
    _, variables, description = loading.load(initial_workdir)
  is_encoder_given = encoder or _ENCODER in variables.get('params', {})
  if model.image_blocks and model.frozen_image and not is_encoder_given:
    raise ConfigError(
      'The frozen image encoder has random weights and would keep them. Name '
      'its weights: --config.image_weights=resnet152-b121ed2d.pth '
      '(torchvision, IMAGENET1K_V1).'
    )
  given = variables.get('params', {})
  for branch in frozen:
    if not any(branches.owns(branch, (module,)) for module in given):
      raise ConfigError(
        f'train.frozen names {branch!r}, which would have random weights and '
        'keep them. Name a run that has trained them: '
        '--config.initial_workdir=RUN.'
      )
  return Pretrained(
    image_encoder=encoder,
    variables=variables,
    description=description,
    initial_workdir=initial_workdir,
  )


def initialize(
  model: AVLnet,
  description: Mapping,
  pretrained: Pretrained | None = None,
  learnt: Mapping | None = None,
) -> dict:
  """Creates the variables before the first step.

  Args:
    model: model of the run.
    description: metadata of the run, from `metadata.describe`.
    pretrained: weights to start from; None: all variables are random.
    learnt: what the loss learns, `losses.initial_values`; None: nothing.

  Returns:
    {'params', 'batch_stats'}; params['loss'] is what the loss learns, if it
    does.

  Raises:
    ConfigError: the initial workdir's variables do not fit into the model.
    CheckpointError: the initial workdir's run has another model.
  """
  pretrained = pretrained or Pretrained()
  if pretrained.variables:
    name = f'The checkpoint in the initial workdir {pretrained.initial_workdir}'
    metadata.check_networks(pretrained.description, description, name)
    metadata.check_model(
      pretrained.description, description, name, shapes_alone=True
    )
  variables = init_variables(
    model, description['visual_width'], description['seed']
  )
  if learnt:
    variables['params']['loss'] = dict(learnt)
  for collection, tree in pretrained.image_encoder.items():
    variables[collection][_ENCODER] = tree
  if not pretrained.variables:
    return variables
  return carry_over(pretrained.variables, variables)


def _read_image_weights(file: str | os.PathLike, model: AVLnet) -> dict:
  network, weights = resnet.load(file)
  if network.blocks != model.image_blocks:
    raise ConfigError(
      f'{os.fspath(file)} is a ResNet of blocks {network.blocks}, but the '
      f'model takes {model.image_blocks}. Set model.image_blocks to the blocks '
      'of the file, choose other image_weights, or, for a model without '
      "images, set image_weights=''."
    )
  return weights
