"""PyTorch's ResNet-152 and three-dimensional ResNeXt-101, for `visual`."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

BLOCKS = {2: (3, 8, 36, 3), 3: (3, 4, 23, 3)}  # axes -> blocks of the stages
_CONV = {2: nn.Conv2d, 3: nn.Conv3d}
_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


def _convolution(
  axes: int, inputs: int, width: int, size: int, stride=1, groups: int = 1
) -> nn.Sequential:
  """A convolution and its normalization."""
  layer = _CONV[axes](
    inputs, width, size, stride, size // 2, groups=groups, bias=False
  )
  return nn.Sequential(layer, _NORM[axes](width))


class _Bottleneck(nn.Module):
  def __init__(self, axes, inputs, width, features, stride, groups):
    super().__init__()
    self.layers = nn.Sequential(
      _convolution(axes, inputs, width, 1),
      nn.ReLU(inplace=True),
      _convolution(axes, width, width, 3, stride, groups),
      nn.ReLU(inplace=True),
      _convolution(axes, width, features, 1),
    )
    self.shortcut = nn.Identity()
    if inputs != features:
      self.shortcut = _convolution(axes, inputs, features, 1, stride)

  def forward(self, x):
    return torch.relu(self.layers(x) + self.shortcut(x))


def make(axes: int) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
  """Makes a network with random weights, for inference.

  Args:
    axes: 2: ResNet-152 over images; 3: ResNeXt-101 over clips.

  Returns:
    network(uint8 [N, ..., 3]) -> [N, 2048], and its number of parameters.
  """
  width, expansion, groups = (64, 4, 1) if axes == 2 else (128, 2, 32)
  layers = [
    _convolution(axes, 3, 64, 7, 2 if axes == 2 else (1, 2, 2)),
    nn.ReLU(inplace=True),
    _POOL[axes](3, 2, 1),
  ]
  inputs = 64
  for i, count in enumerate(BLOCKS[axes]):
    for j in range(count):
      each = width << i
      stride = 2 if i and not j else 1
      layers.append(
        _Bottleneck(axes, inputs, each, each * expansion, stride, groups)
      )
      inputs = each * expansion
  network = nn.Sequential(*layers).eval()

  def run(inputs: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
      x = torch.from_numpy(inputs).movedim(-1, 1).float().contiguous()
      return network(x / 255).flatten(2).mean(2).numpy()

  return run, sum(x.numel() for x in network.parameters())
