"""Names of the networks that features are of, with what they weigh.

A name is 'efficientnet_lite0' or, such as 'resnet152:b121ed2d0c0dd4c5', that of
a network with the beginning of the SHA-256 of its file of weights.
"""

import pathlib
from collections.abc import Callable, Mapping

from avl_jax.backbones import efficientnet, feature_extractor, resnet, resnext3d
from avl_jax.errors import UserError


def names_of(
  resnet152: str, resnext101: str, digest: Callable[[pathlib.Path], str]
) -> dict[str, str]:
  """Names the networks of weight files, stream -> name.

  Args:
    resnet152: as of `feature_extractor.Extractor`.
    resnext101: likewise.
    digest: of the content of a file, hexadecimal.

  Raises:
    UserError: a file cannot be read.
  """
  names = {'visual_2d': feature_extractor.STAND_IN}
  files = {'visual_3d': ('resnext101', resnext101)}
  if resnet152 != feature_extractor.STAND_IN:
    files['visual_2d'] = ('resnet152', resnet152)
  for stream, (network, file) in files.items():
    if file:
      path = pathlib.Path(file).expanduser()
      try:
        names[stream] = f'{network}:{digest(path)[:16]}'
      except OSError as error:
        raise UserError(
          f'{path} cannot be read: {error.strerror}. Expected the weights of '
          f'a network. Set --config.prepare.{network}.'
        ) from error
  return dict(sorted(names.items()))


def widths_of(names: Mapping[str, str]) -> dict[str, int]:
  """Widths of the features, without reading weights."""
  is_stand_in = names['visual_2d'] == feature_extractor.STAND_IN
  widths = {'visual_2d': efficientnet.WIDTH if is_stand_in else resnet.WIDTH}
  if 'visual_3d' in names:
    widths['visual_3d'] = resnext3d.WIDTH
  return widths


def text(names: Mapping[str, str]) -> str:
  """The names for a message: 'efficientnet_lite0', 'A and B'."""
  return ' and '.join(names.values())
