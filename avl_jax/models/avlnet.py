"""AVLnet: embeds the audio, video and text of clips into one space.

Layout of the parameters below `params` (and `batch_stats`). Every `linear`,
`*_projection`, `audio` and `text` is {kernel, bias}; every `gate` is {linear}:

  audio_encoder           see `davenet.DAVEnet`
  image_encoder           see `resnet.ResNet`; in models with `image_blocks`
  video_head              {linear, gate}
  audio_head, text_head   {linear, gate}, in models that are not fused
  audio_text_head         {audio, text, bias, gate}, in fused models; `audio`
                          and `text` have no biases of their own
and in the release's structure
  audio_projection        linear: after the audio_head, or before the fusion
  text_pool               {linear}: applied to each word, before the maximum
  audio_text_head         {audio, text, gate}; `audio` and `text` have biases
In linear heads there is no `gate`; in non-linear ones `output`, {kernel, bias},
replaces it. A training adds `loss`, what its loss learns, if it does.
"""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn

from avl_jax.backbones import resnet
from avl_jax.errors import ConfigError
from avl_jax.features import MEL_BINS
from avl_jax.models import audio_text, davenet, heads

_CHOICES = {
  'head': heads.HEADS,
  'structure': ('thesis', 'release'),
  'pooling': ('mean', 'masked'),
  'dtype': ('float32', 'bfloat16', 'float16', 'float64'),
}


class AVLnet(nn.Module):
  """AVLnet (thesis, chapter 3), AVLnet-Text-Tri and -Fused (chapter 4).

  Attributes:
    embed_dim: width D of the embeddings.
    widths: see `davenet.DAVEnet`.
    blocks: see `davenet.DAVEnet`.
    word_dim: width E of the word vectors; 0: no text branch.
    fused: sum audio and text before a common gate (eq. 4.3, AVLnet-Text-Fused)
      instead of embedding them separately (eq. 4.1, AVLnet-Text-Tri). Without
      text, a fused model in the thesis' structure is AVLnet.
    initial_text_scale: factor of the fused text term's initial values; 0: the
      model starts as without text. The thesis leaves it open (section 4.2.2).
    head: of each modality, see `heads.Embedding`; 'gated' is the thesis' own
      choice, 'linear' and 'nonlinear' are its ablations (Table 3.3).
    normalize: scale embeddings to length 1, so that scores are cosines; a sum
      of embeddings ('audio+video') is not scaled again.
    structure: 'thesis' gates the audio in the embedding space (eq. 3.1, 3.2)
      and max-pools word vectors (eq. 4.1, 4.3). 'release' is the structure of
      the released weights (their `model.py`): it gates the audio before a
      linear projection, or projects it to D/2 before fusing, and max-pools
      projected words.
    pooling: of the audio over time in training; 'mean' averages all frames,
      padding included, 'masked' only the real ones. Evaluation always masks.
    frozen_statistics: use BatchNorm's running statistics in training too; its
      scale and bias are still trained.
    image_blocks: blocks of a ResNet that encodes the batch's images, e.g.
      (3, 8, 36, 3) for ResNet-152; (): none, batches hold visual features.
    frozen_image: do not train the image encoder, and keep its running
      statistics; else it is trained with the statistics of the batch.
    axis_name: mapped axis over which BatchNorm takes the statistics of the
      whole batch in training; '' or None: each device uses its own.
    dtype: name of the compute type, e.g. 'bfloat16'. Parameters, statistics and
      embeddings are float32 or wider; 'float64' needs `jax.enable_x64`.

  Raises:
    ConfigError: `head`, `structure`, `pooling` or `dtype` has an unknown value.

  Example:
    model = AVLnet(embed_dim=512)
    variables = init_variables(model, visual_width=4096)
    embeddings = model.apply(variables, batch, train=False)
    scores = embeddings['audio'] @ embeddings['video'].T  # [N, N]
  """

  embed_dim: int = 4096
  widths: tuple[int, ...] = (128, 128, 256, 512, 1024)
  blocks: tuple[int, ...] = (2, 2, 2, 2)
  word_dim: int = 0
  fused: bool = False
  initial_text_scale: float = 1.0
  head: str = 'gated'
  normalize: bool = False
  structure: str = 'thesis'
  pooling: str = 'mean'
  frozen_statistics: bool = False
  image_blocks: tuple[int, ...] = ()
  frozen_image: bool = True
  axis_name: str | None = 'devices'
  dtype: str = 'float32'

  def __post_init__(self):
    for name, choices in _CHOICES.items():
      if (value := getattr(self, name)) not in choices:
        raise ConfigError(
          f'Unknown value {value!r} of {name}. {name} must be one of {choices}.'
        )
    super().__post_init__()

  @nn.compact
  def __call__(
    self, batch: Mapping[str, jax.Array], train: bool
  ) -> dict[str, jax.Array]:
    """Embeds a batch of clips: its audio, its images or features, its words.

    Args:
      batch: may have 'spectrogram' float [N, T, 40], dB below the file's
        loudest cell, padded with zeros, and 'num_frames' int32 [N], frames
        before padding, which may exceed T; 'visual' float [N, V], or 'image'
        uint8 [N, H, W, 3], which a model without `image_blocks` ignores;
        'words' float [N, W, E], zero-padded, which a model without a text
        branch ignores. Other entries are ignored.
      train: see `davenet.DAVEnet`; also selects `pooling`.

    Returns:
      {'audio', 'video', 'text': [N, D]} for the modalities in the batch, in
      float32 (float64 if `dtype` is). A fused model adds 'audio_text'; its
      'audio' and 'text' are those of a clip with only that modality.

    Raises:
      ConfigError: the word vectors are not `word_dim` wide, or the visual
        features do not have the width for which the variables were made.
    """
    dtype = jnp.dtype(self.dtype)
    pooled = {'audio': None, 'text': None}
    if 'spectrogram' in batch:
      pooled['audio'] = self._pooled_audio(batch, train, dtype)
    if 'words' in batch and self.word_dim:
      pooled['text'] = self._pooled_text(batch['words'], dtype)
    options = {
      'embed_dim': self.embed_dim,
      'head': self.head,
      'structure': self.structure,
      'dtype': dtype,
    }
    if self.fused:
      embeddings = audio_text.fused_embeddings(
        **pooled, **options, initial_text_scale=self.initial_text_scale
      )
    else:
      embeddings = audio_text.separate_embeddings(**pooled, **options)
    visual = batch.get('visual')
    if 'image' in batch and self.image_blocks:
      visual = self._encoded_image(batch['image'], train, dtype)
    if visual is not None:
      self._check_visual(visual.shape[-1])
      head = heads.Embedding(
        self.embed_dim, dtype, self.head, name='video_head'
      )
      embeddings['video'] = head(visual)
    wide = jnp.promote_types(dtype, jnp.float32)
    embeddings = {name: x.astype(wide) for name, x in embeddings.items()}
    if self.normalize:
      embeddings = jax.tree.map(heads.l2_normalize, embeddings)
    return embeddings

  def _pooled_audio(
    self, batch: Mapping[str, jax.Array], train: bool, dtype: jnp.dtype
  ) -> jax.Array:
    """Mean over time of the encoded spectrograms, [N, widths[-1]]."""
    frames = davenet.DAVEnet(
      widths=self.widths,
      blocks=self.blocks,
      frozen_statistics=self.frozen_statistics,
      axis_name=self.axis_name,
      dtype=dtype,
      name='audio_encoder',
    )(batch['spectrogram'], train)
    if train and self.pooling == 'mean':
      return frames.mean(1, dtype=jnp.promote_types(dtype, jnp.float32))
    return davenet.masked_mean(
      frames, batch['num_frames'], batch['spectrogram'].shape[1]
    )

  def _encoded_image(
    self, images: jax.Array, train: bool, dtype: jnp.dtype
  ) -> jax.Array:
    """Encoded images [N, 2048], L2-normalized like a batch's features."""
    features = resnet.ResNet(
      self.image_blocks, self.axis_name or '', dtype, name='image_encoder'
    )(images, train and not self.frozen_image)
    if self.frozen_image:
      # With zero gradients Adam changes nothing, and XLA computes none.
      features = jax.lax.stop_gradient(features)
    return heads.l2_normalize(features)

  def _check_visual(self, width: int) -> None:
    head = self.variables.get('params', {}).get('video_head')
    expected = head['linear']['kernel'].shape[0] if head else width
    if width != expected:
      raise ConfigError(
        f'The visual features are {width} wide, but the model takes {expected}.'
        ' Use records prepared with the same visual networks, and the same '
        'streams in train_data.streams and eval_data.streams.'
      )

  def _pooled_text(self, words: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Pooled words: [N, E]; in the release's structure [N, D] or [N, D/2]."""
    if words.shape[-1] != self.word_dim:
      raise ConfigError(
        f'The word vectors are {words.shape[-1]} wide, but the model takes '
        f'{self.word_dim}. Set model.word_dim={words.shape[-1]}, or choose '
        'other words.vectors.'
      )
    if self.structure == 'thesis':
      return heads.max_over_words(words)
    width = self.embed_dim // 2 if self.fused else self.embed_dim
    return heads.WordMaxPool(width, dtype, name='text_pool')(words)


def init_variables(model: AVLnet, visual_width: int, seed: int = 0) -> dict:
  """Random variables of a model.

  Args:
    model: to initialize.
    visual_width: V of the batches' `visual`, [N, V]. A model with
      `image_blocks` ignores it: its image encoder gives 2,048 features.
    seed: the variables depend on nothing else.

  Returns:
    {'params', 'batch_stats'}, float32.
  """
  batch = {
    'spectrogram': jnp.zeros((1, 32, MEL_BINS)),
    'num_frames': jnp.ones(1, jnp.int32),
    'visual': jnp.zeros((1, visual_width)),
    'words': jnp.zeros((1, 1, model.word_dim)),
  }
  if model.image_blocks:
    batch['image'] = jnp.zeros((1, 32, 32, 3), jnp.uint8)
  init = jax.jit(functools.partial(model.init, train=False))  # compiles once
  return init(jax.random.key(seed), batch)
