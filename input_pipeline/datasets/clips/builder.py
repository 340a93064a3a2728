"""Trimmed clips with sound: the data sets to evaluate and fine-tune on.

One schema for the data sets of the thesis. Each is a BuilderConfig, and is
made of either of two things in the folder `media_dir`:

  the authors' feature pickles, each a split; or, where none of them is there,
  the data set's own annotation files (see `annotations`) and its videos, in
  `videos/` or anywhere below, whose features are extracted.

Where neither a pickle nor a video of a split is there, it is not made, which
is said; so is what a split lacks of the thesis' number of clips. With a table
DATASET_words.csv beside them (see `speech`), clips with and without speech
become splits of their own.
"""

import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
import tqdm

from avl_jax.errors import UserError
from avl_jax.extraction.skipped import LeftOut
from avl_jax.extraction.video_features import Extraction
from avl_jax.features import MediaError
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
    extraction: of the videos' features; None: pickles only.
    speech_words: words from which on a clip counts as speech.
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
  def _pickled(self) -> from_pickles.Pickled | None:
    """The pickles, if there are any."""
    files = {k: file for k, (file, _) in self.builder_config.files.items()}
    found = from_pickles.Pickled(self._root, files)
    return found if self._media_dir and found.splits else None

  def _info(self) -> tfds.core.DatasetInfo:
    features = tfds.features

    def tensor(width: int | None) -> tfds.features.Tensor:
      # As in the files: not halved, that evaluation sees the same numbers.
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
          'spectrogram': tensor(40),
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
    self._skipped = LeftOut()
    self._ids: dict[str, list[str]] = {}  # of the clips of a split
    self._source = self._pickled or self._filmed()
    files = self.builder_config.files
    there = [split for split in files if split in self._source.splits]
    self._words = self._read_words(there)
    by_words = self.builder_config.by_words if self._words else ()
    for split in files:
      if split not in (*there, *by_words):
        what = self._source.missing(split)
        if split in self.builder_config.by_words and not self._pickled:
          what = self._words_file.name
        self._skipped.add(self._source.without, what)
        print(f'{self._title}: no {what}, so no split {split!r}')
    return {
      **{split: self._generate_examples(split) for split in there},
      # After the split that they are taken from.
      **{split: self._generate_by_words(split) for split in by_words},
    }

  def _filmed(self) -> from_videos.Filmed:
    config = self.builder_config
    if not self._media_dir or not self._extraction:
      expected = ', '.join(file for file, _ in config.files.values())
      raise UserError(
        f'{self._title} is made from the files of the AVLnet release, of which '
        f'none is in {self._media_dir!r}: put {expected} (or some of them) '
        'into a folder and name it, --config.prepare.media_dir=FOLDER; or from '
        'its videos and annotations in such a folder with the weights of the '
        'networks, --config.prepare.resnet152=FILE '
        '--config.prepare.resnext101=FILE. What is only evaluated on can be '
        'left out: configs/finetune.py:DATASET,alone and '
        'configs/zero_shot.py:MODEL,NAME+NAME'
      )
    return from_videos.Filmed(
      self._root, config.read, self._extraction, self._skipped.add
    )

  def _read_words(self, there: list[str]) -> dict[str, int]:
    """The word counts to make splits by; none if there is no use for them."""
    config = self.builder_config
    if (
      not self._words_file.is_file()
      or config.evaluated not in there
      or set(config.by_words) & set(there)
    ):
      return {}
    return speech_splits.read_word_counts(self._words_file)

  def _usable(self, entries, title: str, skip) -> Iterator[dict]:
    """The records that can be made, each with an id of its own."""
    seen = set()
    for index, (name, make) in enumerate(
      tqdm.tqdm(entries, title, mininterval=1)
    ):
      try:
        example = make()
      except MediaError as error:
        skip(error.reason, f'{name}: {error}')
        continue
      if example['id'] in seen:  # several clips may be named after a video
        example['id'] = f'{example["id"]}/{index}'
      seen.add(example['id'])
      yield example | {'language': self.builder_config.language}

  def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
    title, entries = f'{self._title} {split}', self._source.entries(split)
    ids, videos = [], set()
    for example in self._usable(entries, title, self._skipped.add):
      ids.append(example['id'])
      videos.add(example['group'])
      yield example['id'], example
    self._ids[split] = ids
    origin = self._source.origin(split)
    self._report(split, len(ids), f'of {len(entries):,} clips {origin}')
    expected = self.builder_config.videos.get(split, 0)
    if len(videos) < expected:
      print(f'{title}: {len(videos):,} of {expected:,} videos')
      self._skipped.add(
        f'{split}: videos fewer than expected',
        f'{len(videos):,} of {expected:,}',
      )
    self._skipped.write(self.data_dir)

  def _generate_by_words(self, split: str) -> Iterator[tuple[str, dict]]:
    """The clips without speech or with speech of the evaluated split."""
    evaluated = self.builder_config.evaluated
    chosen = speech_splits.sounds_and_speech(
      self._words, self._ids[evaluated], self._speech_words
    )[self.builder_config.by_words.index(split)]
    if not chosen:
      raise UserError(
        f'{self._words_file}: expected clips of {evaluated} with fewer than '
        f'{self._speech_words} words and clips with more, so that there is '
        'something to compare; correct or remove the table'
      )
    unknown = self._words.keys() - set(self._ids[evaluated])
    self._skipped[f'words of no clip of {evaluated}'] = sorted(unknown)
    ignore = lambda reason, what: None  # noqa: E731 - known from before
    for example in self._usable(
      self._source.entries(evaluated), f'{self._title} {split}', ignore
    ):
      if example['id'] in chosen:
        yield example['id'], example
    self._report(split, len(chosen), f'clips of {evaluated} by their words')
    self._skipped.write(self.data_dir)

  def _report(self, split: str, good: int, of: str) -> None:
    """Says how many clips there are; raises UserError if none is."""
    title = f'{self._title} {split}'
    if not good:
      raise UserError(
        f'{title}: 0 {of} can be used; left out so far: '
        f'{self._skipped}: correct what is wrong or take the files of '
        'this split away; what has been extracted is not extracted again'
      )
    _, expected = self.builder_config.files.get(split, ('', 0))
    lacking = f', {expected - good:,} fewer than the thesis had'
    print(f'{title}: {good:,} {of}{lacking if good < expected else ""}')
    if good < expected:
      self._skipped.add(
        f'{split}: clips fewer than expected', f'{good:,} of {expected:,}'
      )
