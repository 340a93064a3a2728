"""ResNet-152 (He et al., 2016), the thesis' image encoder.

The 2-D features are the outputs of torchvision's network with the weights
IMAGENET1K_V1 (`model.py` and `preprocessing.py` of the authors' extractor
`video_feature_extractor`).
"""

import os

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from avl_jax.backbones import bottleneck

WIDTH = 2048
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)


class ResNet(bottleneck.BottleneckNetwork):
  """ResNet of bottlenecks whose middle convolution has the stride.

  Attributes:
    blocks: number of blocks of each of the four stages.
    axis_name: see `bottleneck.BottleneckNetwork`.
    dtype: see `bottleneck.BottleneckNetwork`.
  """

  blocks: tuple[int, ...] = (3, 8, 36, 3)

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> jax.Array:
    """Computes features of images.

    Args:
      images: uint8 [N, H, W, 3], RGB, of any size.
      train: normalize by the statistics of the batch and update the running
        ones, which needs `mutable='batch_stats'`.

    Returns:
      [N, 2048], the mean over H and W of the last map; float32, or float64 if
      `dtype` is.
    """
    x = jnp.asarray(scaled_values())[images, jnp.arange(3)]
    return self.encode(
      x.astype(self.dtype), train, stem_stride=2, width=64, expansion=4
    )


def scaled_values() -> np.ndarray:
  """Network input for byte value v of channel c, float32 [256, 3].

  A table gives the extractor's bits; compiled arithmetic may round the division
  differently. The 1e-8 is the extractor's; it moves each deviation to the next
  float32.
  """
  values = np.arange(256, dtype=np.float32)[:, None] / np.float32(255)
  return (values - _MEAN) / (_STD + np.float32(1e-8))


def load(file: str | os.PathLike) -> tuple[ResNet, dict]:
  """Reads weights in the format of torchvision's ResNet-50, -101 and -152.

  Args:
    file: state dict, such as `resnet152-b121ed2d.pth`. It must contain `fc`,
      which is not used.

  Returns:
    The network with as many blocks as the file has, and its {'params',
    'batch_stats'}, float32.

  Raises:
    ReleaseError: the file is missing or cannot be read, or its entries are not
      those of the network; the message names them.
  """
  return bottleneck.load(file, ResNet, (1, 32, 32, 3))
