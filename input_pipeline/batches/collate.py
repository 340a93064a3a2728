"""What training and evaluation do alike with the examples of a batch."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from avl_jax import features
from avl_jax.features import audio
from input_pipeline.records.bad_records import DataError
from input_pipeline.records.buffers import Arrays
from input_pipeline.records.reader import Records
from input_pipeline.transforms.audio_augmentation import Augmentation
from input_pipeline.transforms.caption_vectors import Captions

Batch = dict[str, np.ndarray]  # see the package
_ARRAYS = Arrays()
NO_WORDS = MappingProxyType({'vectors': ''})


def changed(
  example: dict, augmentation: Augmentation, rng: np.random.Generator
) -> np.ndarray:
  """float32 [T, 40], the spectrogram of the example's waveform, augmented."""
  waveform = augmentation.waveform(example['waveform'], rng)
  return augmentation.spectrogram(audio.log_mel_spectrogram(waveform), rng)


def check_streams(streams: Sequence[str], records: Records) -> tuple[str, ...]:
  """The streams as a tuple.

  Raises:
    DataError: they are neither features nor, alone, the image; or the records
      have none of them.
  """
  streams = tuple(streams)
  if streams != features.IMAGE and (
    not streams or set(streams) - set(features.STREAMS)
  ):
    raise DataError(
      f'streams must be some of {features.STREAMS}, or '
      f'{features.IMAGE} for a model with an image encoder, not {streams}'
    )
  if not records.features & set(streams):
    raise DataError(
      f'the records have no {" or ".join(streams)}; they have '
      f'{", ".join(sorted(records.features))}: choose other streams'
    )
  return streams


def open_captions(
  datasets: Sequence[str], data_dir: str, words: Mapping
) -> Captions | None:
  """The captions' words as vectors; None if `words` names no vectors."""
  return Captions(datasets, data_dir, **words) if words['vectors'] else None


def fingerprint(records: Records, captions: Captions | None) -> str:
  """Of what is read: of the records, and of the words' vectors if any."""
  if not captions:
    return records.fingerprint
  facts = f'{records.fingerprint} {captions.fingerprint}'
  return records.mark + hashlib.sha256(facts.encode()).hexdigest()[:16]


def stack(clips: Iterable[Mapping], count: int) -> Batch:
  """A batch of clips that are made meanwhile, one at a time.

  Args:
    clips: [count] of one kind: name -> array, number or text.
    count: N.

  Returns:
    name -> [N, ...], as np.stack makes of them, aligned for TensorFlow.
  """
  batch = {}
  for place, clip in enumerate(clips):
    for name, value in clip.items():
      if isinstance(value, str):
        batch.setdefault(name, []).append(value)
      else:
        if not place:
          batch[name] = _ARRAYS.empty((count, *value.shape), value.dtype)
        batch[name][place] = value
  return {name: np.asarray(rows) for name, rows in batch.items()}
