"""A trained model with all that it needs to embed files."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from avl_jax import compilation, parallel
from avl_jax.checkpoints import loading
from avl_jax.config import FILE, read_config
from avl_jax.errors import UserError
from avl_jax.extraction import model_inputs
from avl_jax.extraction.model_inputs import Source
from avl_jax.features import clips, image_crops
from avl_jax.models.avlnet import AVLnet
from avl_jax.retrieval import embedding

BATCH_SIZE = 32
Passes = list[tuple[tuple[str, ...], list[dict]]]


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedModel:
  """A model with the settings and networks that make its inputs; see `load`.

  Attributes:
    model: see `AVLnet`.
    variables: of the best checkpoint, {'params', 'batch_stats'} of numpy.
    metadata: of the checkpoint.
    num_frames: T of a spectrogram, 100 a second; longer ones are cropped.
    max_words: W of a caption.
    vectors: file of word vectors; '': the model takes no text.
    visual: see `model_inputs.VisualInputs`.
  """

  model: AVLnet
  variables: Mapping
  metadata: Mapping
  num_frames: int
  max_words: int
  vectors: str
  visual: model_inputs.VisualInputs

  @functools.cached_property
  def embed_batch(self) -> Callable[[Mapping], embedding.Embeddings]:
    """Compiled batch -> embeddings, see `embedding.make_embed`."""
    variables = parallel.replicate(self.variables)
    return functools.partial(embedding.make_embed(self.model), variables)

  @functools.cached_property
  def words(self) -> model_inputs.WordInputs:
    """Makes the model's inputs of captions.

    Raises:
      UserError: the model takes no text, or its word vectors are missing.
    """
    if not self.model.word_dim:
      raise UserError(
        'The model takes no text. Load one that was trained with text, such as '
        'that of configs/stamps.py:fr,tri.'
      )
    return model_inputs.WordInputs(self.vectors, self.max_words)


def load(
  workdir: str | os.PathLike,
  *,
  resnet152: str = '',
  resnext101: str = '',
  vectors: str = '',
  dtype: str = 'float32',
) -> TrainedModel:
  """Loads the best checkpoint of a run.

  Example:
    model = avl_jax.load('runs/stamps')
    vectors = avl_jax.embed(model, audio='question.wav')  # {'audio': [1, D]}

  Args:
    workdir: folder of the run, with checkpoints/ and config.json.
    resnet152: weights of the 2-D network, for models whose visual features are
      the authors'; '': those of the run's `prepare`, else the packaged ones.
    resnext101: weights of the 3-D network, likewise.
    vectors: file of word vectors, see `word_vectors`; '': the config's `words`.
    dtype: type of computation; '': the one in which the model was trained.

  Returns:
    The model, for `embed`.

  Raises:
    CheckpointError: there is no checkpoint, or the best one is damaged.
    ConfigError: the run has no config.json.
  """
  compilation.avoid_triton()
  workdir = pathlib.Path(workdir).expanduser()
  model, variables, metadata = loading.load(workdir)
  config = read_config(str(workdir / FILE))
  return TrainedModel(
    model=embedding.in_dtype(model, dtype),
    variables=variables,
    metadata=metadata,
    num_frames=config.eval_data.num_frames,
    max_words=config.words.max_words,
    vectors=vectors or config.words.vectors,
    visual=model_inputs.VisualInputs(
      metadata['visual_width'],
      config.eval_data.streams,
      pooling=config.eval_data.visual_pooling,
      resnet152=resnet152 or config.prepare.resnet152,
      resnext101=resnext101 or config.prepare.resnext101,
    ),
  )


def embed(
  trained: TrainedModel,
  *,
  audio: Source | Sequence[Source] | None = None,
  image: Source | Sequence[Source] | None = None,
  video: Source | Sequence[Source] | None = None,
  text: str | Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
  """Embeds recordings, images or videos, and texts.

  Each argument is one item or a list. Lists may differ in length, except
  `audio` and `text` of a fused model. As in the run's evaluations, recordings
  are cropped to `trained.num_frames`, captions to `trained.max_words`.

  Example:
    model = avl_jax.load('runs/stamps')
    vectors = avl_jax.embed(model, audio='a.wav', image=['a.png', 'b.png'])
    scores = vectors['audio'] @ vectors['video'].T  # [1, D] x [D, 2] -> [1, 2]

  Args:
    trained: of `load`.
    audio: path or content of a file with sound (also a video), or floating
      [samples], mono at 16 kHz.
    image: path or content of an image file, or uint8 [H, W, 3].
    video: path of a video file, or uint8 [S, H, W, 3], one frame a second.
    text: a caption.

  Returns:
    'audio', 'video' (of images or videos) and 'text', of what was given:
    float32 [n, D]. With `audio` and `text`, a fused model adds 'audio_text'.

  Raises:
    UserError: nothing or both images and videos are given, a file cannot be
      read, an array has another shape or type, the model takes no text, or a
      fused model gets different numbers of recordings and texts.
  """
  if image is not None and video is not None:
    raise UserError(
      "Images and videos both give 'video' embeddings. Embed one at a time."
    )
  rows = {}
  if audio is not None:
    rows['audio'] = [_recording(trained, x) for x in _listed(audio)]
  if image is not None:
    rows['video'] = _images(trained, _listed(image))
  if video is not None:
    rows['video'] = _videos(trained, _listed(video))
  if text is not None:
    rows['text'] = _captions(trained, _listed(text))
  if not rows:
    raise UserError(
      'There is nothing to embed. Give audio, image, video or text.'
    )
  vectors = {}
  for names, each in _passes(trained.model.fused, rows):
    found = _forward(trained, each)
    vectors |= {name: found[name] for name in names}
  embedding.check_finite(vectors)
  return vectors


def _passes(fused: bool, rows: dict[str, list[dict]]) -> Passes:
  """Names of embeddings, and the rows that one pass of the model takes."""
  passes: Passes = [((name,), each) for name, each in rows.items()]
  if not (fused and {'audio', 'text'} <= rows.keys()):
    return passes
  names = ('audio', 'text', 'audio_text')
  others = [(name, each) for name, each in passes if name == ('video',)]
  return [(names, _joined(rows['audio'], rows['text'])), *others]


def _listed(sources: Any) -> list:
  """One source, or several, as a list.

  Raises:
    UserError: the list is empty.
  """
  if hasattr(sources, '__array__'):  # Also of other libraries than NumPy.
    sources = np.asarray(sources)
  if isinstance(sources, (str, bytes, os.PathLike, np.ndarray)):
    return [sources]
  if not (sources := list(sources)):
    raise UserError('The list is empty. Give at least one file, array or text.')
  return sources


def _recording(trained: TrainedModel, source: Source) -> dict:
  spectrogram = model_inputs.spectrogram(source)
  padded = clips.pad_or_crop(spectrogram, trained.num_frames)
  num_frames = min(len(spectrogram), trained.num_frames)
  return {'spectrogram': padded, 'num_frames': np.int32(num_frames)}


def _images(trained: TrainedModel, sources: Sequence[Source]) -> list[dict]:
  if trained.model.image_blocks:
    pixels = map(model_inputs.image, sources)
    return [{'image': image_crops.centre_crop(x)} for x in pixels]
  return [{'visual': row} for row in trained.visual.of_images(sources)]


def _videos(trained: TrainedModel, sources: Sequence[Source]) -> list[dict]:
  if trained.model.image_blocks:
    raise UserError('The model takes images, not videos. Give images.')
  return [{'visual': trained.visual.of_video(x)} for x in sources]


def _captions(trained: TrainedModel, texts: Sequence[str]) -> list[dict]:
  for text in texts:
    if not isinstance(text, str):
      raise UserError(f'The text is a {type(text).__name__}. Expected str.')
  return [{'words': words} for words in trained.words(texts)]


def _joined(audio: Sequence[dict], text: Sequence[dict]) -> list[dict]:
  if len(audio) != len(text):
    raise UserError(
      f'There are {len(audio)} recordings and {len(text)} texts. A fused model '
      'embeds them together. Give one text for each recording.'
    )
  return [{**a, **t} for a, t in zip(audio, text, strict=True)]


def _forward(trained: TrainedModel, rows: Sequence[dict]) -> dict:
  """Name -> float32 [n, D] of what the rows hold, computed in batches."""
  parts = []
  for start in range(0, len(rows), BATCH_SIZE):
    some = rows[start : start + BATCH_SIZE]
    batch = {key: np.stack([row[key] for row in some]) for key in some[0]}
    parts.append(trained.embed_batch(batch))
  return {
    name: np.concatenate([part[name] for part in parts]) for name in parts[0]
  }
