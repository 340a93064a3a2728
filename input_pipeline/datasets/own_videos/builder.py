"""Writes the records of own videos.

Config `untrimmed`: a record of `train` is a whole video, from which training
cuts clips at random, as of HowTo100M. A record of `val` or `test` is a window
of a held-out video: windows of 10 s follow one another from the beginning; what
remains is a window of its own if it lasts 5 s. A video shorter than 10 s is one
window. The id of a window is VIDEO@START, with START in seconds. All decibels
are below the loudest cell of the whole video.

Config `clips`: a record of any split is a clip that the manifest names.
Decibels are below the loudest cell of the clip.

The version of the records is 1.0.N, where N is a hash of all that they contain:
equal content has an equal version, and so an equal fingerprint.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds

from avl_jax.extraction import video_features
from avl_jax.features import FEATURE_RATES, MEL_BINS, clips
from input_pipeline.datasets import networks
from input_pipeline.datasets.own_videos import manifest, splits, tables
from input_pipeline.datasets.own_videos.extracted import Extracted
from input_pipeline.datasets.own_videos.manifest import Caption
from input_pipeline.datasets.own_videos.tables import Line
from input_pipeline.datasets.uncompressed_array_record import (
  write_uncompressed,
)

KINDS = ('untrimmed', 'clips')
WINDOW, REMAINDER = 10, 5  # seconds
_SCHEMA = 1  # of the records
Captions = Mapping[str, Sequence[Caption]]  # by id


@dataclasses.dataclass(kw_only=True)
class OwnVideosConfig(tfds.core.BuilderConfig):
  """A kind of records; the version is a hash of their content."""

  name: str
  version: tfds.core.Version


class OwnVideos(tfds.core.GeneratorBasedBuilder):
  """TFDS builder of own videos; see the module.

  Args:
    kind: 'untrimmed' or 'clips'.
    lines: of all files; the usable ones become records.
    captions: with times, of untrimmed videos.
    extracted: has the arrays of the usable lines.
    config_name: name of the config; '': the kind.
    **kwargs: of `tfds.core.GeneratorBasedBuilder`.
  """

  VERSION = tfds.core.Version('1.0.0')

  def __init__(
    self,
    *,
    kind: str,
    lines: Sequence[Line],
    captions: Captions,
    extracted: Extracted,
    config_name: str = '',
    **kwargs,
  ):
    self._lines, self._captions = lines, captions
    self._extracted, self._networks = extracted, extracted.extraction.networks
    version = f'1.0.{_hash(kind, lines, captions, self._networks)}'
    config = OwnVideosConfig(
      name=config_name or kind, version=tfds.core.Version(version)
    )
    super().__init__(file_format='array_record', config=config, **kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    features = tfds.features

    def tensor(*shape) -> tfds.features.Tensor:
      return features.Tensor(shape=shape, dtype=np.float16, encoding='bytes')

    seconds = features.Tensor(shape=(None,), dtype=np.float64)
    widths = self._extracted.extraction.widths
    return self.dataset_info_from_configs(
      description=__doc__,
      features=features.FeaturesDict(
        {
          'id': features.Text(),
          'group': features.Text(doc='the video: the digest of its content'),
          'language': features.Text(doc="'': unknown"),
          'spectrogram': tensor(None, MEL_BINS),
          'captions': features.Sequence(features.Text()),
          'caption_starts': seconds,
          'caption_ends': seconds,
          'source': features.Text(doc='path of the file'),
          'start': np.float32,
          'end': np.float32,
        }
        | {stream: tensor(None, width) for stream, width in widths.items()}
      ),
    )

  def _download_and_prepare(self, *args, **kwargs) -> None:
    with write_uncompressed():
      super()._download_and_prepare(*args, **kwargs)
    # Still in TFDS' temporary folder, so that no records lack these files.
    self._write_tables(pathlib.Path(self.data_dir))

  def _write_tables(self, folder: pathlib.Path) -> None:
    """Writes what lies beside the records."""
    tables.write(folder, self._lines)
    networks.write(folder, self._networks)

  def _split_generators(self, dl_manager):
    del dl_manager  # The videos are the user's.
    present = {line.split for line in tables.usable(self._lines)}
    return {s: self._generate_examples(s) for s in splits.NAMES if s in present}

  def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
    for line in tables.usable(self._lines):
      if line.split == split:
        for example in self._of_line(line):
          yield example['id'], example

  def _of_line(self, line: Line) -> Iterator[dict]:
    """The records of a video or clip."""
    item, arrays = line.item, self._extracted.arrays(line)
    seconds = clips.length(arrays)
    identity = {
      'id': item.id,
      'group': line.digest,
      'language': item.language,
      'source': manifest.spelled(item.path),
    }
    said = list(self._captions.get(item.id, ()))
    if item.caption:
      said.insert(0, Caption(0.0, seconds, item.caption))
    if item.is_clip:
      times = {'start': item.start, 'end': item.end}
      yield identity | arrays | times | _captions(said)
    elif line.split == 'train':
      times = {'start': 0.0, 'end': seconds}
      yield identity | arrays | times | _captions(said)
    else:
      for start, end in windows(seconds):
        yield (
          identity
          | {'id': f'{item.id}@{start}', 'start': start, 'end': end}
          | cut(arrays, start, end)
          | _captions(_within(said, start, end))
        )


def _hash(
  kind: str,
  lines: Sequence[Line],
  captions: Captions,
  network_names: Mapping[str, str],
) -> int:
  """A number below 2^32 that the content of the records determines."""
  contents = [
    [
      dataclasses.astuple(line.item),
      line.digest,
      line.split,
      [dataclasses.astuple(c) for c in captions.get(line.item.id, ())],
    ]
    for line in tables.usable(lines)
  ]
  facts = [_SCHEMA, video_features.VERSION, kind, dict(network_names), contents]
  digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
  return int.from_bytes(digest.digest()[:4], 'big')


def windows(seconds: float) -> list[tuple[int, float]]:
  """(start, end) of the windows of a held-out video; see the module."""
  whole = int(seconds // WINDOW)
  found = [(WINDOW * i, WINDOW * (i + 1.0)) for i in range(whole)]
  if not whole or seconds - WINDOW * whole >= REMAINDER:
    found.append((WINDOW * whole, seconds))
  return found


def cut(
  arrays: Mapping[str, np.ndarray], start: int, end: float
) -> dict[str, np.ndarray]:
  """Cuts the arrays of a video from `start` to `end` seconds.

  A clip of the whole result equals the clip of the video, see
  `clips.cut_window`; the features at `end` are included.
  """
  first, last = clips.time_to_frame(start), clips.time_to_frame(end)
  found = {'spectrogram': arrays['spectrogram'][first:last]}
  for stream, rate in FEATURE_RATES.items():
    if stream in arrays:
      found[stream] = arrays[stream][int(start * rate) : int(end * rate) + 1]
  return found


def _within(said: Sequence[Caption], start: int, end: float) -> list[Caption]:
  """One caption: what has its middle in a window, with times in the window."""
  texts = [c.text for c in said if start <= (c.start + c.end) / 2 < end]
  return [Caption(0.0, end - start, ' '.join(texts))] if texts else []


def _captions(said: Sequence[Caption]) -> dict:
  return {
    'captions': [caption.text for caption in said],
    'caption_starts': np.array([caption.start for caption in said], 'f8'),
    'caption_ends': np.array([caption.end for caption in said], 'f8'),
  }
