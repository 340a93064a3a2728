"""A worker process of the loader, which makes clips in shared memory."""

import dataclasses
import functools
import multiprocessing
import os
import pickle
import threading
from collections.abc import Mapping, Sequence

from input_pipeline.batches import collate
from input_pipeline.batches.shared_memory import SharedArray
from input_pipeline.records.bad_records import BadRecordError, DataError
from input_pipeline.records.reader import Records
from input_pipeline.transforms.clip_sampler import ClipSampler


@dataclasses.dataclass(frozen=True)
class Source:
  """What clips are made of; it is pickled.

  Attributes:
    datasets: see `train.train_batches`, like the next two.
    split: likewise.
    data_dir: likewise.
    fingerprint: of the records.
    clip_sampler: makes the clips.
    seed: of the training.
  """

  datasets: Sequence[str]
  split: str
  data_dir: str
  fingerprint: str
  clip_sampler: ClipSampler
  seed: int


def begin() -> None:
  """Starts a worker process, which ends when its parent has ended."""
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
  parent = multiprocessing.parent_process()
  assert parent is not None
  parent.join()
  os._exit(1)  # The main thread may be in the middle of anything.


def write_clips(
  source: SharedArray,
  arrays: Mapping[str, SharedArray],
  first: int,
  epoch: int,
  indices: Sequence[int],
) -> tuple[list[str], dict[int, BadRecordError]]:
  """Writes the clips of examples into rows of a batch.

  Args:
    source: a pickled `Source`, uint8.
    arrays: name -> array of the batch.
    first: row of the first clip.
    epoch: of the step.
    indices: of the examples.

  Returns:
    ids: of the clips; '' for those of a bad record, which are not written.
    bad: place in `indices` -> the error of a bad record.

  Raises:
    DataError: the records are not those of the parent, or cannot be opened.
  """
  made_of, records = _opened(source)
  sampler = made_of.clip_sampler
  opened = {name: array.open() for name, array in arrays.items()}
  ids, bad = [], {}
  found = records.read_checked(indices, sampler.needs)
  for place, (index, example) in enumerate(zip(indices, found, strict=True)):
    if isinstance(example, BadRecordError):
      bad[place] = example
      ids += [''] * sampler.num_clips
    else:
      clips = sampler.training_clips(example, made_of.seed, epoch, index)
      ids += collate.fill(opened, first + len(ids), clips)
  return ids, bad


@functools.lru_cache(maxsize=1)
def _opened(source: SharedArray) -> tuple[Source, Records]:
  made_of: Source = pickle.loads(source.open().data)
  records = Records(made_of.datasets, (made_of.split,), made_of.data_dir)
  if records.fingerprint != made_of.fingerprint:
    raise DataError(
      'The records changed while the training started: '
      f'{", ".join(made_of.datasets)}. Expected the same in all processes. Run '
      'the command again.'
    )
  return made_of, records
