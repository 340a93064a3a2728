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
from avl_jax.features import MEL_BINS
from input_pipeline.datasets import networks
from input_pipeline.datasets.own_videos import examples, splits, tables
from input_pipeline.datasets.own_videos.examples import Captions
from input_pipeline.datasets.own_videos.extracted import Extracted, Recipe
from input_pipeline.datasets.own_videos.tables import Line
from input_pipeline.datasets.uncompressed_array_record import UncompressedWriter

KINDS = ('untrimmed', 'clips')
_SCHEMA = 1  # of the records


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
    recipe: makes the same in other processes, if there is `recipe.beam`.
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
    recipe: Recipe,
    config_name: str = '',
    **kwargs,
  ):
    self._lines, self._captions, self._recipe = lines, captions, recipe
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

  def _example_writer(self) -> UncompressedWriter:
    return UncompressedWriter()

  def _download_and_prepare(self, *args, **kwargs) -> None:
    super()._download_and_prepare(*args, **kwargs)
    # Still in TFDS' temporary folder, so that no records lack these files.
    self._write_tables(pathlib.Path(self.data_dir))

  def _write_tables(self, folder: pathlib.Path) -> None:
    """Writes what lies beside the records."""
    tables.write(folder, self._lines)
    networks.write(folder, self._networks)

  def _split_generators(self, dl_manager):
    del dl_manager  # The videos are the user's.
    of_split: dict[str, list[Line]] = {split: [] for split in splits.NAMES}
    for line in tables.usable(self._lines):
      of_split[line.split].append(line)
    present = {split: lines for split, lines in of_split.items() if lines}
    if self._recipe.beam:
      from input_pipeline.datasets.own_videos import on_beam

      return on_beam.generators(present, self._captions, self._recipe)
    return {s: self._generate_examples(x) for s, x in present.items()}

  def _generate_examples(
    self, lines: Sequence[Line]
  ) -> Iterator[tuple[str, dict]]:
    for line in lines:
      said = self._captions.get(line.item.id, ())
      for example in examples.of_line(line, said, self._extracted):
        yield example['id'], example


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
