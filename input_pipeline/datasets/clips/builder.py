"""Builds data sets of trimmed clips with audio, to evaluate and fine-tune on.

All data sets have one schema; each is a BuilderConfig. The folder `media_dir`
holds one of two sources:

  the authors' feature pickles, one per split; or, if there is none,
  the data set's own annotation files (see `annotations`) and its videos, in
  `videos/` or anywhere below, from which features are extracted.

A split without a pickle and without videos is not built; a message says so,
and also how many clips a split lacks compared with the thesis. With a table
DATASET_words.csv in the folder (see `speech_splits`), clips with and without
speech become splits of their own.
"""

import pathlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow_datasets as tfds
import tqdm

from avl_jax import logs
from avl_jax.errors import UserError
from avl_jax.extraction.skipped import Skipped
from avl_jax.extraction.video_features import Extraction
from avl_jax.features import MEL_BINS, MediaError, Status, reading
from input_pipeline.datasets import networks
from input_pipeline.datasets.clips import configs as clip_configs
from input_pipeline.datasets.clips import (
  from_pickles,
  from_videos,
  speech_splits,
)


class Clips(tfds.core.GeneratorBasedBuilder):
  """TFDS builder of clips; see the module.

  Args:
    media_dir: folder with the authors' pickles, or annotations and videos.
    extraction: extracts features of videos; None: pickles only.
    speech_words: least number of words of a clip with speech.
    **kwargs: of `tfds.core.GeneratorBasedBuilder`.
  """

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS = clip_configs.CONFIGS

  def __init__(
    self,
    *,
    media_dir: str = '',
    extraction: Extraction | None = None,
    speech_words: int = 1,
    **kwargs,
  ):
    self._media_dir = media_dir
    self._root = pathlib.Path(media_dir).expanduser()
    self._extraction, self._speech_words = extraction, speech_words
    super().__init__(file_format='array_record', **kwargs)
    self._title = f'{self.name}/{self.builder_config.name}'
    self._words_file = self._root / f'{self.builder_config.name}_words.csv'

  @property
  def _pickled(self) -> from_pickles.PickledClips | None:
    """The clips of the pickles; None if there is no pickle."""
    files = {k: file for k, (file, _) in self.builder_config.files.items()}
    found = from_pickles.PickledClips(self._root, files)
    return found if self._media_dir and found.splits else None

  def _info(self) -> tfds.core.DatasetInfo:
    features = tfds.features

    def tensor(width: int | None) -> tfds.features.Tensor:
      # float32 as in the files, so that evaluation sees the same numbers.
      return features.Tensor(
        shape=(None, width), dtype=np.float32, encoding='bytes'
      )

    widths = dict.fromkeys(from_pickles.VISUAL_KEYS, from_pickles.VISUAL_WIDTH)
    if self._extraction and not self._pickled:
      widths = self._extraction.widths
    return self.dataset_info_from_configs(
      description=__doc__,
      features=features.FeaturesDict(
        {
          'id': features.Text(),
          'group': features.Text(doc='the video, where the file names it'),
          'language': features.Text(),
          'spectrogram': tensor(MEL_BINS),
          'captions': features.Sequence(
            features.Text(), doc='evaluation takes the first'
          ),
          'source': features.Text(doc='file, index in it and task'),
          'start': np.float32,
          'end': np.float32,
        }
        | {stream: tensor(width) for stream, width in widths.items()}
      ),
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # The files belong to their owners.
    self._skipped = Skipped()
    self._ids: dict[str, list[str]] = {}  # of the clips of a split
    self._source = self._pickled or self._open_videos()
    files = self.builder_config.files
    present = [split for split in files if split in self._source.splits]
    self._words = self._read_words(present)
    by_words = self.builder_config.by_words if self._words else ()
    for split in files:
      if split not in (*present, *by_words):
        missing = self._source.missing(split)
        if split in self.builder_config.by_words and not self._pickled:
          missing = self._words_file.name
        self._skipped.add(
          Status.MISSING, f'{missing}: The split {split!r} is not built.'
        )
        logs.write(
          f'{self._title}: There is no {missing}, so the split {split!r} is '
          'not built.'
        )
    return {
      **{split: self._generate_examples(split) for split in present},
      # After the split from which they are taken.
      **{split: self._generate_by_words(split) for split in by_words},
    }

  def _open_videos(self) -> from_videos.VideoClips:
    """Opens annotations and videos; UserError if they cannot be used."""
    config = self.builder_config
    if not self._media_dir or not self._extraction:
      expected = ', '.join(file for file, _ in config.files.values())
      raise UserError(
        f'{self._title}: There are no media in {self._media_dir!r}. Expected '
        "the AVLnet release's feature files: put some or all of "
        f'{expected} into a folder and set '
        '--config.prepare.media_dir=FOLDER. Or put the videos and annotations '
        'into such a folder and set also the weights of the visual networks: '
        '--config.prepare.resnet152=FILE --config.prepare.resnext101=FILE. '
        'Data sets that are only evaluated on can be left out: '
        'configs/finetune.py:DATASET,alone and '
        'configs/zero_shot.py:MODEL,NAME+NAME.'
      )
    return from_videos.VideoClips(
      self._root, config.read, self._extraction, self._skipped
    )

  def _read_words(self, present: list[str]) -> dict[str, int]:
    """Reads counts of words to split by; empty if no split needs them."""
    config = self.builder_config
    if (
      not self._words_file.is_file()
      or config.evaluated not in present
      or set(config.by_words) & set(present)
    ):
      return {}
    return speech_splits.read_word_counts(self._words_file)

  def _usable(
    self,
    entries: Iterable[tuple[str, Callable[[], dict]]],
    title: str,
    skipped: Skipped,
  ) -> Iterator[dict]:
    """Yields usable records with unique ids; skips the others."""
    seen = set()
    for index, (name, make) in enumerate(
      tqdm.tqdm(entries, title, mininterval=1)
    ):
      try:
        with reading.guard(name):
          example = make()
      except MediaError as error:
        skipped.add_error(name, error)
        continue
      skipped.add(Status.OK, name)
      if example['id'] in seen:  # several clips may share a video's name
        example['id'] = f'{example["id"]}/{index}'
      seen.add(example['id'])
      yield example | {'language': self.builder_config.language}

  def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
    title, entries = f'{self._title} {split}', self._source.entries(split)
    ids: list[str] = []
    videos: set[str] = set()
    for example in self._usable(entries, title, self._skipped):
      ids.append(example['id'])
      videos.add(example['group'])
      yield example['id'], example
    self._ids[split] = ids
    origin = self._source.origin(split)
    self._report(split, len(ids), f'{len(entries):,} clips {origin}')
    expected = self.builder_config.videos.get(split, 0)
    if len(videos) < expected:
      self._skipped.report(
        title,
        len(videos),
        f'{expected:,} videos',
        expected=expected,
        shortfall=f'{split}: videos fewer than expected',
      )
    self._skipped.write(self.data_dir)
    if self._extraction and not self._pickled:
      networks.write(self.data_dir, self._extraction.networks)

  def _generate_by_words(self, split: str) -> Iterator[tuple[str, dict]]:
    """Yields the clips of the evaluated split without speech, or with it."""
    evaluated = self.builder_config.evaluated
    chosen = speech_splits.sounds_and_speech(
      self._words, self._ids[evaluated], self._speech_words
    )[self.builder_config.by_words.index(split)]
    if not chosen:
      raise UserError(
        f'{self._words_file}: Expected clips of {evaluated} with fewer than '
        f'{self._speech_words} words and clips with at least as many. Correct '
        'the table or remove it.'
      )
    unknown = self._words.keys() - set(self._ids[evaluated])
    for clip in unknown:
      self._skipped.remark(f'words of no clip of {evaluated}', clip)
    # The clips that are skipped here are listed already.
    for example in self._usable(
      self._source.entries(evaluated), f'{self._title} {split}', Skipped()
    ):
      if example['id'] in chosen:
        yield example['id'], example
    clips = f'{len(self._ids[evaluated]):,} clips of {evaluated}'
    self._report(split, len(chosen), f'{clips}, chosen by number of words')
    self._skipped.write(self.data_dir)

  def _report(self, split: str, count: int, source: str) -> None:
    """Prints the number of usable clips; UserError if there is none."""
    _, expected = self.builder_config.files.get(split, ('', 0))
    self._skipped.report(
      f'{self._title} {split}',
      count,
      source,
      expected=expected,
      shortfall=f'{split}: clips fewer than expected',
      remedy=(
        "Correct the clips or remove this split's files, then run the same "
        'command again. Extracted features are kept.'
      ),
    )
