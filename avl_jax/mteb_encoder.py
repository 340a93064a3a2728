"""A trained model as an encoder of mteb, the public scoreboard of embeddings.

  pip install '.[mteb]'    (and FFmpeg's libraries, for torchcodec)

  import mteb
  from avl_jax import mteb_encoder

  model = mteb_encoder.MtebEncoder('runs/stamps', 'me/avlnet-stamps')
  tasks = mteb.get_tasks(tasks=['YouCook2A2VRetrieval', 'YouCook2V2ARetrieval'])
  mteb.evaluate(model, tasks)

This module imports neither mteb nor PyTorch before they are needed.
"""

import functools
import os
import pathlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import soxr

from avl_jax import logs, trained_model
from avl_jax.errors import UserError
from avl_jax.features import SAMPLE_RATE, MediaError

Inputs = Iterable[Mapping[str, Sequence]]


class MtebEncoder:
  """Embeds mteb's inputs; has the methods of mteb's `EncoderProtocol`."""

  def __init__(
    self,
    workdir: str | os.PathLike,
    name: str,
    revision: str = 'workdir',
    **networks: str,
  ):
    """Loads the best checkpoint of a run.

    Args:
      workdir: of the run.
      name: of the model on the scoreboard, 'OWNER/MODEL'.
      revision: of the model there.
      **networks: see `trained_model.load`.

    Raises:
      UserError: see `trained_model.load`.
    """
    self._trained = trained_model.load(workdir, **networks)
    self._name, self._revision = name, revision

  def encode(
    self, inputs: Inputs, *, task_metadata: Any, **options: Any
  ) -> np.ndarray:
    """Embeds the rows of batches.

    A row of several modalities is the sum of their embeddings, in which every
    dot product with it is the sum of theirs; a fused model has an embedding of
    audio and text together. A modality that the model does not take is left
    out where the row has another one, as mteb asks for. So is a recording that
    is silent, or a file that cannot be read: a line names it. Zeros stand for
    a row with nothing else.

    Args:
      inputs: batches, dicts of lists: 'audio', 'image', 'video', 'text'.
      task_metadata: ignored, as are the options: a model has no prompts.
      **options: ignored.

    Returns:
      float32 [N, D].

    Raises:
      UserError: the model takes none of the modalities, or nothing of a batch
        of several rows can be read.
    """
    del task_metadata, options
    return np.concatenate([self._embed(batch) for batch in inputs])

  def similarity(self, a: Any, b: Any) -> np.ndarray:
    """Dot products [n, m] of embeddings [n, D] and [m, D]."""
    return np.asarray(a) @ np.asarray(b).T  # [n, D] x [D, m] -> [n, m]

  def similarity_pairwise(self, a: Any, b: Any) -> np.ndarray:
    """Dot products [n] of the rows of two arrays [n, D]."""
    return np.einsum('nd,nd->n', np.asarray(a), np.asarray(b))

  @functools.cached_property
  def mteb_model_meta(self) -> Any:
    """The model's entry on the scoreboard, an `mteb.models.ModelMeta`."""
    # Only the extra `mteb` installs it.
    # pyrefly: ignore[missing-import]
    from mteb.models.model_meta import ModelMeta

    params = jax.tree.leaves(self._trained.variables['params'])
    return ModelMeta(
      loader=None,
      name=self._name,
      revision=self._revision,
      release_date=None,
      languages=None,
      n_parameters=sum(leaf.size for leaf in params),
      memory_usage_mb=None,
      max_tokens=None,
      embed_dim=self._trained.model.embed_dim,
      license=None,
      open_weights=None,
      public_training_code=None,
      public_training_data=None,
      framework=['JAX'],
      similarity_fn_name='dot',
      use_instructions=False,
      training_datasets=None,
      modalities=list(self._modalities),
    )

  @functools.cached_property
  def _modalities(self) -> tuple[str, ...]:
    """What the model takes, in mteb's words."""
    takes = {
      'audio': True,
      'image': not self._trained.visual.files['resnext101'],  # No motion.
      'video': not self._trained.model.image_blocks,
      'text': bool(self._trained.model.word_dim),
    }
    return tuple(name for name, does in takes.items() if does)

  def _embed(self, batch: Mapping[str, Sequence]) -> np.ndarray:
    """Embeddings [n, D] of a batch."""
    with tempfile.TemporaryDirectory() as folder:
      convert = {
        'audio': _audio,
        'image': _image,
        'video': functools.partial(_video, folder=pathlib.Path(folder)),
        'text': str,
      }
      there = [name for name in convert if name in batch]
      given = {
        name: [convert[name](item) for item in batch[name]]
        for name in there
        if name in self._modalities
      }
      if not given:
        raise UserError(
          f'The inputs are {" and ".join(there) or "nothing"}. The model takes '
          f'{", ".join(self._modalities)}. Choose tasks of these.'
        )
      try:
        return self._sum(given)
      except MediaError:
        return self._readable(given, batch.get('id'))

  def _sum(self, given: Mapping[str, list]) -> np.ndarray:
    """Sums [n, D] of the embeddings of modalities."""
    found = trained_model.embed(self._trained, **given)
    if 'audio_text' in found:
      found = {k: x for k, x in found.items() if k not in ('audio', 'text')}
    return np.sum(list(found.values()), axis=0)

  def _readable(
    self, given: Mapping[str, list], ids: Sequence[str] | None
  ) -> np.ndarray:
    """As `_sum`, of what can be read of each row.

    Raises:
      MediaError: there are several rows, and nothing of them can be read.
    """
    rows = list(zip(*given.values(), strict=True))
    sums, errors = [], []
    for i, row in enumerate(rows):
      good = {}
      for name, item in zip(given, row, strict=True):
        try:
          self._sum({name: [item]})
        except MediaError as error:
          errors.append(error)
          label = i if ids is None else ids[i]
          logs.write(f'Row {label}, {name}: {error} It is left out.')
        else:
          good[name] = [item]
      sums.append(self._sum(good)[0] if good else None)
    if len(rows) > 1 and all(x is None for x in sums):
      raise errors[0]
    zeros = np.zeros(self._trained.model.embed_dim, np.float32)
    return np.stack([zeros if x is None else x for x in sums])


def _encoded(item: Any) -> str | bytes | None:
  """The file of an item of `datasets`, its path or content; None: unknown."""
  encoded = getattr(item, '_hf_encoded', None) or {}
  path = encoded.get('path')
  if path and os.path.isfile(path):
    return path
  return encoded.get('bytes')


def _audio(item: Any) -> str | bytes | np.ndarray:
  """A recording: the file, which is read as in preparation, or its samples."""
  if encoded := _encoded(item):
    return encoded
  samples = np.asarray(item['array'], np.float32)
  if samples.ndim > 1:  # [channels, samples]
    samples = samples.mean(0)
  rate = int(item['sampling_rate'])
  if rate == SAMPLE_RATE:
    return samples
  return soxr.resample(samples, rate, SAMPLE_RATE, quality='HQ')


def _image(item: Any) -> np.ndarray:
  """Pixels of an image of Pillow, or of an array [H, W, 3]."""
  if hasattr(item, 'convert'):
    item = item.convert('RGB')
  return np.asarray(item, np.uint8)


def _video(item: Any, folder: pathlib.Path) -> str | np.ndarray:
  """A video: the file, or frames [S, H, W, 3], one a second."""
  encoded = _encoded(item)
  if isinstance(encoded, bytes):
    path = folder / f'{len(list(folder.iterdir()))}.video'
    path.write_bytes(encoded)
    return str(path)
  if encoded:
    return encoded
  if isinstance(item, np.ndarray):
    return item
  raise UserError(
    f'The video is a {type(item).__name__} without its file. Expected a video '
    'of the library `datasets`, or uint8 [S, H, W, 3], one frame a second.'
  )
