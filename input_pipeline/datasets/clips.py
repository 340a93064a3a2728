"""Trimmed clips with sound, from the authors' feature pickles.

One schema for the data sets that the thesis evaluates and fine-tunes on. Each
is a BuilderConfig, each pickle of it a split; `media_dir` names the folder
with the pickles. Of those that are not there no split is made, which is said;
so is what a split lacks of the thesis' number of clips.
"""

import collections
import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
import tqdm

from avl_jax import UserError, release

AUDIO_KEY = 'audio'
# The visual vectors' names in the pickles: pooled over the clip.
VISUAL_KEYS = {
  'visual_2d': ('2d', '2d_pooled'),
  'visual_3d': ('3d', '3d_pooled'),
}


@dataclasses.dataclass(kw_only=True)
class ClipsConfig(tfds.core.BuilderConfig):
  """A data set: split -> (file, clips that the thesis had; 0: not printed)."""

  files: dict[str, tuple[str, int]]
  language: str = 'en'


class Clips(tfds.core.GeneratorBasedBuilder):
  """TFDS builder of clips; see the module.

  Args:
    media_dir: folder with the authors' pickles.
    **kwargs: of `tfds.core.GeneratorBasedBuilder`.
  """

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS = (
    ClipsConfig(
      name='youcook2',
      files={
        'train': ('youcook_train_audio.pkl', 9_586),
        'val': ('youcook_val_audio.pkl', 3_350),
        'sounds241': ('youcook_val_sounds241.pkl', 241),
        'speech241': ('youcook_val_speech241.pkl', 241),
      },
    ),
    ClipsConfig(
      name='crosstask',
      files={
        'train': ('crosstask_clips_train.pkl', 17_840),
        'val': ('crosstask_clips_val.pkl', 2_819),
      },
    ),
    ClipsConfig(
      name='msrvtt',
      files={
        'train_7k': ('msrvtt_train.pkl', 6_783),
        'train_1ka': ('msrvtt_1k-A_train.pkl', 0),
        'test': ('msrvtt_jsfusion_test.pkl', 968),  # of 1,000
      },
    ),
    ClipsConfig(
      name='lsmdc',
      files={
        'train': ('lsmdc_train.pkl', 101_079),
        'test': ('lsmdc_test.pkl', 1_000),
      },
    ),
    ClipsConfig(
      name='youcook_japanese',
      # 737, 224 and 213 videos; the clips are about 10, 3 and 3 thousand.
      files={
        'train': ('youcook_japanese_train.pkl', 0),
        'val': ('youcook_japanese_val.pkl', 0),
        'eval': ('youcook_japanese_eval.pkl', 0),
      },
      language='ja',
    ),
  )

  def __init__(self, *, media_dir: str = '', **kwargs):
    super().__init__(file_format='array_record', **kwargs)
    self._media_dir = media_dir

  def _info(self) -> tfds.core.DatasetInfo:
    features = tfds.features

    def tensor(width: int | None) -> tfds.features.Tensor:
      # As in the files: not halved, that evaluation sees the same numbers.
      return features.Tensor(
        shape=(None, width), dtype=np.float32, encoding='bytes'
      )

    return self.dataset_info_from_configs(
      description=__doc__,
      features=features.FeaturesDict(
        {
          'id': features.Text(),
          'group': features.Text(doc='the video, where the file names it'),
          'language': features.Text(),
          'spectrogram': tensor(40),
          'visual_2d': tensor(2048),
          'visual_3d': tensor(2048),
          'captions': features.Sequence(
            features.Text(), doc='evaluation takes the first'
          ),
          'source': features.Text(doc='file, index in it and task'),
          'start': np.float32,
          'end': np.float32,
        }
      ),
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # The files belong to their owners.
    self._skipped = collections.defaultdict(list)
    files = self.builder_config.files
    name = f'{self.name}/{self.builder_config.name}'
    there = [
      split
      for split, (file, _) in files.items()
      if self._media_dir and os.path.isfile(self._path(file))
    ]
    if not there:
      expected = ', '.join(file for file, _ in files.values())
      raise UserError(
        f'{name} is made from the files of the AVLnet release, of which none '
        f'is in {self._media_dir!r}: put {expected} (or some of them) into a '
        'folder and name it, --config.prepare.media_dir=FOLDER'
      )
    for split in files.keys() - there:
      self._skipped['no file'].append(files[split][0])
      print(f'{name}: no {files[split][0]}, so no split {split!r}')
    return {split: self._generate_examples(split) for split in there}

  def _path(self, file: str) -> pathlib.Path:
    return pathlib.Path(self._media_dir).expanduser() / file

  def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
    file, expected = self.builder_config.files[split]
    clips = release.read_pickle(self._path(file))
    if not isinstance(clips, list):
      raise UserError(
        f'{self._path(file)} holds a {type(clips).__name__}, expected a list '
        'of clips'
      )
    name = f'{self.name}/{self.builder_config.name} {split}'
    good, seen = 0, set()
    for index, clip in enumerate(tqdm.tqdm(clips, name, mininterval=1)):
      source = f'{file}[{index}]'
      try:
        example = example_of(clip, source)
      except ClipError as error:
        self._skipped[error.reason].append(f'{source}: {error}')
        continue
      if example['id'] in seen:  # several clips may be named after a video
        example['id'] = f'{example["id"]}/{index}'
      seen.add(example['id'])
      good += 1
      yield (
        example['id'],
        example | {'language': self.builder_config.language},
      )
    lacking = f', {expected - good:,} fewer than the thesis had'
    print(
      f'{name}: {good:,} of {len(clips):,} clips in {file}'
      f'{lacking if good < expected else ""}'
    )
    if good < expected:
      self._skipped[f'{split}: clips fewer than expected'] = [
        f'{good:,} of {expected:,}'
      ]
    self._write_skipped()

  def _write_skipped(self) -> None:
    """Lists what was left out, by reason, in a file beside the records."""
    table = {reason: sorted(names) for reason, names in self._skipped.items()}
    path = pathlib.Path(self.data_dir) / 'skipped.json'
    path.write_text(json.dumps(table, indent=2, ensure_ascii=False) + '\n')


class ClipError(ValueError):
  """A clip that cannot be used.

  Attributes:
    reason: in a word, for counting.
  """

  def __init__(self, reason: str, message: str):
    super().__init__(message)
    self.reason = reason


def example_of(clip: dict, source: str) -> dict:
  """A clip of the pickles (`youcook_dataloader.py`) in our schema.

  Args:
    clip: with 'id', 'audio' [40, T] dB, '2d' and '3d' [V] (or '2d_pooled',
      '3d_pooled'), 'caption' (a sentence, or a list of them with
      'eval_caption') and perhaps 'video_id', 'task', 'start', 'end'.
    source: where it is from.

  Returns:
    The record without its language.

  Raises:
    ClipError: a key is missing, or an array is empty, not finite or of
      another shape.
  """
  if not isinstance(clip, dict) or 'id' not in clip:
    raise ClipError('no id', 'expected a dictionary with an id')
  captions = clip.get('caption', '')
  captions = list(captions) if isinstance(captions, list) else [captions]
  if 'eval_caption' in clip:
    fixed = clip['eval_caption']
    captions = [fixed, *(c for c in captions if c != fixed)]
  if 'task' in clip:
    source = f'{source} task {clip["task"]}'
  example = {
    'id': str(clip['id']),
    'group': str(clip.get('video_id', clip['id'])),
    'spectrogram': _array(clip, (AUDIO_KEY,), 2).T,
    'captions': [str(caption) for caption in captions],
    'source': source,
    'start': float(clip.get('start', math.nan)),
    'end': float(clip.get('end', math.nan)),
  }
  for name, keys in VISUAL_KEYS.items():
    example[name] = _array(clip, keys, 1)[None]
  if example['spectrogram'].shape[1] != 40:
    raise ClipError('unreadable', 'the audio has no 40 bands')
  return example


def _array(clip: dict, keys: tuple[str, ...], ndim: int) -> np.ndarray:
  """The float32 array of the first of `keys` that the clip has."""
  key = next((key for key in keys if key in clip), None)
  if key is None:
    raise ClipError(f'no {keys[0]}', f'{clip["id"]} has no {keys[0]!r}')
  array = np.asarray(clip[key])
  if array.ndim != ndim or not array.size:
    raise ClipError('unreadable', f'{key} of {clip["id"]} is {array.shape}')
  if not np.isfinite(array).all():
    raise ClipError('not finite', f'{key} of {clip["id"]}')
  return array.astype(np.float32)
