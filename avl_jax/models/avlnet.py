"""AVLnet: audio, video and text of a clip as vectors of one space.

Where the parameters are, below `params` (and `batch_stats`); every `linear`,
`*_projection`, `audio` and `text` is {kernel, bias}, every `gate` {linear}:

  audio_encoder           see `davenet.DAVEnet`
  image_encoder           see `resnet.ResNet`; of models with `image_blocks`
  video_head              {linear, gate}
  audio_head, text_head   {linear, gate}, where they are apart
  audio_text_head         {audio, text, bias, gate}, where they are fused;
                          `audio` and `text` have no biases of their own
and in the release's structure
  audio_projection        linear: behind the audio_head, or before the fusion
  text_pool               {linear}: of each word, before the maximum
  audio_text_head         {audio, text, gate}, with biases of their own
"""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

from avl_jax.backbones import resnet
from avl_jax.errors import ConfigError
from avl_jax.models import davenet, heads

_HINTS = {
  'text': '. Text needs a model with model.word_dim, word vectors for the '
  'batches (words.vectors) and, for audio_text, model.fused=True',
  'video': '. Pictures need a model with model.image_blocks',
}
# Modules that another model may lack: the text branch, the image encoder.
_NEW = {'text', 'text_head', 'text_pool', 'image_encoder'}
_STRUCTURES = ('thesis', 'release')
_POOLINGS = ('mean', 'masked')
_DTYPES = ('float32', 'bfloat16', 'float16', 'float64')


class AVLnet(nn.Module):
  """AVLnet (thesis, chapter 3), AVLnet-Text-Tri and -Fused (chapter 4).

  Attributes:
    embed_dim: width D of the embeddings.
    widths: see `davenet.DAVEnet`.
    blocks: see `davenet.DAVEnet`.
    word_dim: width E of the word vectors; 0: no text branch.
    fused: sum audio and text before a common gate (eq. 4.3, AVLnet-Text-Fused)
      instead of embedding them apart (eq. 4.1, AVLnet-Text-Tri). Without text
      the thesis' structure is then AVLnet's.
    initial_text_scale: of the fused text term's initial values; 0: it begins
      as if there were no text. The thesis leaves open how the term begins that
      a model trained without text gets (section 4.2.2).
    structure: 'thesis' gates the audio in the embedding space (eq. 3.1, 3.2)
      and max-pools word vectors (eq. 4.1, 4.3); 'release', as the released
      weights, gates the audio before a linear projection or projects it to D/2
      before fusing, and max-pools projected words (`model.py` there).
    pooling: of the audio over time in training; 'mean' takes every frame,
      padding included, 'masked' only the real ones. Evaluation always masks.
    frozen_statistics: use the running statistics of BatchNorm also in training;
      its scale and bias still learn.
    image_blocks: of a ResNet that embeds the pictures of a batch, (3, 8, 36, 3)
      is ResNet-152; (): none, features come with the batch.
    frozen_image: keep that network as it is, its statistics of BatchNorm too;
      else it learns, with the statistics of the batch.
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
  word_dim: int = 0
  fused: bool = False
  initial_text_scale: float = 1.0
  structure: str = 'thesis'
  pooling: str = 'mean'
  frozen_statistics: bool = False
  image_blocks: tuple[int, ...] = ()
  frozen_image: bool = True
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
    """Embeds a batch: what it has of recordings, pictures and captions.

    Args:
      batch: 'spectrogram' float [N, T, 40], dB below the file's loudest cell
        and padded with zeros, with 'num_frames' int32 [N], frames before
        padding, may exceed T; 'visual' float [N, V], or 'image' uint8
        [N, H, W, 3], which a model without `image_blocks` ignores; 'words'
        float [N, W, E], zero-padded, which a model without a text branch
        ignores. Other entries are ignored.
      train: see `davenet.DAVEnet`; also selects `pooling`.

    Returns:
      {'audio', 'video', 'text': [N, D]} of what the batch has, in float32
      (float64 if `dtype` is). A fused model adds 'audio_text'; its 'audio' and
      'text' are those of a clip that has nothing else.

    Raises:
      ConfigError: the word vectors are not `word_dim` wide, or the visual
        features not as wide as those that the variables were made for.
    """
    dtype = jnp.dtype(self.dtype)
    pooled = {'audio': None, 'text': None}
    if 'spectrogram' in batch:
      pooled['audio'] = self._pooled_audio(batch, train, dtype)
    if 'words' in batch and self.word_dim:
      pooled['text'] = self._pooled_text(batch['words'], dtype)
    embed = self._fused if self.fused else self._apart
    embeddings = embed(**pooled, dtype=dtype)
    visual = batch.get('visual')
    if 'image' in batch and self.image_blocks:
      visual = self._encoded_image(batch['image'], train, dtype)
    if visual is not None:
      self._check_visual(visual.shape[-1])
      head = heads.GatedEmbedding(self.embed_dim, dtype, name='video_head')
      embeddings['video'] = head(visual)
    wide = jnp.promote_types(dtype, jnp.float32)
    return {name: x.astype(wide) for name, x in embeddings.items()}

  def _pooled_audio(
    self, batch: Mapping[str, jax.Array], train: bool, dtype: jnp.dtype
  ) -> jax.Array:
    """[N, widths[-1]], the mean over time of the encoded spectrograms."""
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
    return masked_mean(
      frames, batch['num_frames'], batch['spectrogram'].shape[1]
    )

  def _encoded_image(
    self, images: jax.Array, train: bool, dtype: jnp.dtype
  ) -> jax.Array:
    """[N, 2048], L2-normalised as the features that come with a batch."""
    features = resnet.ResNet(
      self.image_blocks, self.axis_name or '', dtype, name='image_encoder'
    )(images, train and not self.frozen_image)
    if self.frozen_image:
      # Gradients of zero do not move Adam, and nothing computes them.
      features = jax.lax.stop_gradient(features)
    return l2_normalised(features)

  def _check_visual(self, width: int) -> None:
    head = self.variables.get('params', {}).get('video_head')
    expected = head['linear']['kernel'].shape[0] if head else width
    if width != expected:
      raise ConfigError(
        f'the visual features are {width} wide, but the model takes {expected}:'
        ' take records made with the same networks, and the same streams in '
        'train_data.streams and eval_data.streams'
      )

  def _pooled_text(self, words: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """[N, E], or in the release's structure [N, D] or, if fused, [N, D/2]."""
    if words.shape[-1] != self.word_dim:
      raise ConfigError(
        f'the word vectors are {words.shape[-1]} wide, but the model takes '
        f'{self.word_dim}: set model.word_dim={words.shape[-1]}, or take other '
        'words.vectors'
      )
    if self.structure == 'thesis':
      return heads.max_over_words(words)
    width = self.embed_dim // 2 if self.fused else self.embed_dim
    return heads.WordMaxPool(width, dtype, name='text_pool')(words)

  def _apart(
    self, audio: jax.Array | None, text: jax.Array | None, dtype: jnp.dtype
  ) -> dict[str, jax.Array]:
    embeddings, thesis = {}, self.structure == 'thesis'
    if audio is not None:
      width = self.embed_dim if thesis else self.widths[-1]
      audio = heads.GatedEmbedding(width, dtype, name='audio_head')(audio)
      if not thesis:
        project = heads.Linear(self.embed_dim, dtype, name='audio_projection')
        audio = project(audio)
      embeddings['audio'] = audio
    if text is not None:
      head = heads.GatedEmbedding(self.embed_dim, dtype, name='text_head')
      embeddings['text'] = head(text)
    return embeddings

  def _fused(
    self, audio: jax.Array | None, text: jax.Array | None, dtype: jnp.dtype
  ) -> dict[str, jax.Array]:
    release = self.structure == 'release'
    if release and audio is not None:
      project = heads.Linear(
        self.embed_dim // 2, dtype, name='audio_projection'
      )
      audio = project(audio)
    return heads.FusedEmbedding(
      self.embed_dim,
      dtype,
      separate_biases=release,
      initial_text_scale=self.initial_text_scale,
      name='audio_text_head',
    )(audio, text)


def init_variables(model: AVLnet, visual_width: int, seed: int = 0) -> dict:
  """Random variables for batches with `visual` of [N, visual_width].

  A model with `image_blocks` makes that of pictures, 2,048 wide.

  Returns:
    {'params', 'batch_stats'}, float32; a function of the seed alone.
  """
  batch = {
    'spectrogram': jnp.zeros((1, 32, 40)),
    'num_frames': jnp.ones(1, jnp.int32),
    'visual': jnp.zeros((1, visual_width)),
    'words': jnp.zeros((1, 1, model.word_dim)),
  }
  if model.image_blocks:
    batch['image'] = jnp.zeros((1, 32, 32, 3), jnp.uint8)
  # One compilation; without jit there would be one for each operation.
  init = jax.jit(functools.partial(model.init, train=False))
  return init(jax.random.key(seed), batch)


def carry_over(source: Mapping, fresh: Mapping) -> dict:
  """Variables that begin as another model's, new where it has no such module.

  An AVLnet, or a fused model without text, so becomes one with text (thesis,
  section 4.2.2): audio and video weights are carried over, the text branch
  stays as it was initialised. AVLnet in the thesis' structure is the fused
  model without its text term. In the release's structure it is not, there the
  audio is projected elsewhere: train a fused model without text first. A model
  that has seen features becomes one that sees pictures likewise (chapter 5).

  Args:
    source: variables of the trained model.
    fresh: variables of the model to be, of `init_variables`.

  Returns:
    Variables with the structure of `fresh`.

  Raises:
    ConfigError: an array of `source` has no place in `fresh` or another shape,
      or more than text and the image encoder would be new.
  """
  old, new = (traverse_util.flatten_dict(tree) for tree in (source, fresh))
  if ('params', 'audio_text_head', 'bias') in new:
    old = {_fused_path(path): array for path, array in old.items()}
  misfits = {
    path
    for path, array in old.items()
    if path not in new or new[path].shape != array.shape
  }
  misfits |= {p for p in new.keys() - old.keys() if not _NEW & set(p)}
  if misfits:
    raise ConfigError(
      'the initial weights are of another model: '
      f'{", ".join(sorted(map("/".join, misfits)))} are only in one of the two '
      'or have other shapes; only text and the image encoder may be new (a '
      "fused model in the release's structure begins from one with "
      'model.fused=True, model.word_dim=0)'
    )
  return traverse_util.unflatten_dict(new | old)


def _fused_path(path: tuple[str, ...]) -> tuple[str, ...]:
  """Where a parameter of AVLnet's audio head stands in the fused one."""
  collection, module, *rest = path
  if module != 'audio_head':
    return path
  rest = {
    ('linear', 'kernel'): ('audio', 'kernel'),
    ('linear', 'bias'): ('bias',),
  }.get(tuple(rest), rest)
  return (collection, 'audio_text_head', *rest)


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


def l2_normalised(x: jax.Array) -> jax.Array:
  """[..., C] of length 1, as float32 or wider; zeros, and their gradient, stay.

  The length is 1e-12 at least, as in the input pipeline.
  """
  square = jnp.square(x).sum(-1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))


def combine(embeddings: Mapping[str, jax.Array], expression: str) -> jax.Array:
  """Sum of named embeddings, e.g. 'audio' or 'audio+video'.

  A sum's dot products are the sums of its parts': text against 'audio+video'
  is the sum of the similarities to audio and to video.

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
        + next((hint for key, hint in _HINTS.items() if key in name), '')
      )
  return sum(embeddings[name] for name in names)


def _check(name: str, value: str, choices: tuple[str, ...]) -> None:
  if value not in choices:
    raise ConfigError(f'{name} must be one of {choices}, not {value!r}')
