"""AVLnet: audio and video of a clip as vectors of one space."""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn

from avl_jax import ConfigError, davenet, heads

_STRUCTURES = ('thesis', 'release')
_POOLINGS = ('mean', 'masked')
_DTYPES = ('float32', 'bfloat16', 'float16', 'float64')


class AVLnet(nn.Module):
  """Audio-video model of the thesis, chapter 3.

  Attributes:
    embed_dim: width D of the embeddings.
    widths: see `davenet.DAVEnet`.
    blocks: see `davenet.DAVEnet`.
    structure: 'thesis' gates the audio in the embedding space (eq. 3.1, 3.2);
      'release' gates it before a linear projection, as the released weights.
    pooling: of the audio over time in training; 'mean' takes every frame,
      padding included, 'masked' only the real ones. Evaluation always masks.
    frozen_statistics: use the running statistics of BatchNorm also in training;
      its scale and bias still learn.
    axis_name: mapped axis over which BatchNorm takes the statistics of the
      whole batch in training; '' or None for those of each device alone.
    dtype: name of the compute type, e.g. 'bfloat16'. Parameters, statistics and
      embeddings are float32 at least; 'float64' needs `jax.enable_x64`.

  Raises:
    ConfigError: `structure`, `pooling` or `dtype` is none of the above.
  """

  embed_dim: int = 4096
  widths: tuple[int, ...] = (128, 128, 256, 512, 1024)
  blocks: tuple[int, ...] = (2, 2, 2, 2)
  structure: str = 'thesis'
  pooling: str = 'mean'
  frozen_statistics: bool = False
  axis_name: str | None = 'devices'
  dtype: str = 'float32'

  def __post_init__(self):
    _check('structure', self.structure, _STRUCTURES)
    _check('pooling', self.pooling, _POOLINGS)
    _check('dtype', self.dtype, _DTYPES)
    super().__post_init__()

  @nn.compact
  def __call__(
    self, batch: Mapping[str, jax.Array], train: bool
  ) -> dict[str, jax.Array]:
    """Embeds a batch: what it has of recordings and of pictures.

    Args:
      batch: 'spectrogram' float [N, T, 40], dB below the file's loudest cell
        and padded with zeros, with 'num_frames' int32 [N], frames before
        padding, may exceed T; 'visual' float [N, V]. Other entries are ignored.
      train: see `davenet.DAVEnet`; also selects `pooling`.

    Returns:
      {'audio': [N, D], 'video': [N, D]}, of what the batch has, in float32
      (float64 if `dtype` is).
    """
    dtype = jnp.dtype(self.dtype)
    embeddings = {}
    if 'spectrogram' in batch:
      embeddings['audio'] = self._audio(batch, train, dtype)
    if 'visual' in batch:
      head = heads.GatedEmbedding(self.embed_dim, dtype, name='video_head')
      embeddings['video'] = head(batch['visual'])
    wide = jnp.promote_types(dtype, jnp.float32)
    return {name: x.astype(wide) for name, x in embeddings.items()}

  def _audio(
    self, batch: Mapping[str, jax.Array], train: bool, dtype: jnp.dtype
  ) -> jax.Array:
    frames = davenet.DAVEnet(
      widths=self.widths,
      blocks=self.blocks,
      frozen_statistics=self.frozen_statistics,
      axis_name=self.axis_name,
      dtype=dtype,
      name='audio_encoder',
    )(batch['spectrogram'], train)
    if train and self.pooling == 'mean':
      pooled = frames.mean(1, dtype=jnp.promote_types(dtype, jnp.float32))
    else:
      pooled = masked_mean(
        frames, batch['num_frames'], batch['spectrogram'].shape[1]
      )
    if self.structure == 'thesis':
      return heads.GatedEmbedding(self.embed_dim, dtype, name='audio_head')(
        pooled
      )
    gated = heads.GatedEmbedding(self.widths[-1], dtype, name='audio_head')(
      pooled
    )
    return heads.Linear(self.embed_dim, dtype, name='audio_projection')(gated)


def init_variables(model: AVLnet, visual_width: int, seed: int = 0) -> dict:
  """Random variables for batches with `visual` of [N, visual_width].

  Returns:
    {'params', 'batch_stats'}, float32; a function of the seed alone.
  """
  batch = {
    'spectrogram': jnp.zeros((1, 32, 40)),
    'num_frames': jnp.ones(1, jnp.int32),
    'visual': jnp.zeros((1, visual_width)),
  }
  # One compilation; without jit there would be one for each operation.
  init = jax.jit(functools.partial(model.init, train=False))
  return init(jax.random.key(seed), batch)


def masked_mean(
  x: jax.Array, num_frames: jax.Array, num_inputs: int
) -> jax.Array:
  """Mean over the encoded frames that stand for real ones.

  Zero padding must not count: 0 dB is the loudest cell of a file, so padding
  sounds like a shout. With ratio = round(T / T'), the first
  max(1, num_frames // ratio) frames are averaged, as in the release.

  Args:
    x: [N, T', C] encoded frames.
    num_frames: int [N], frames of each spectrogram before padding; more than T
      means all.
    num_inputs: T, frames of the padded spectrograms.

  Returns:
    [N, C], float32 or wider.
  """
  length = x.shape[1]
  ratio = round(num_inputs / length)
  n = jnp.maximum(1, num_frames // ratio)
  is_real = jnp.arange(length) < n[:, None]
  return x.mean(
    1,
    dtype=jnp.promote_types(x.dtype, jnp.float32),
    where=is_real[:, :, None],
  )


def combine(embeddings: Mapping[str, jax.Array], expression: str) -> jax.Array:
  """Sum of named embeddings, e.g. 'audio' or 'audio+video'.

  Args:
    embeddings: name -> [N, D].
    expression: names joined by '+'.

  Returns:
    [N, D].

  Raises:
    ConfigError: the expression names an embedding that is absent.
  """
  names = expression.split('+')
  for name in names:
    if name not in embeddings:
      raise ConfigError(
        f'no embedding {name!r}, which {expression!r} names: the model gives '
        f'{sorted(embeddings)}; join those with "+"'
      )
  return sum(embeddings[name] for name in names)


def _check(name: str, value: str, choices: tuple[str, ...]) -> None:
  if value not in choices:
    raise ConfigError(f'{name} must be one of {choices}, not {value!r}')
