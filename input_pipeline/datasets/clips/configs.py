"""Configs of the data sets of clips: splits, sizes, files, readers."""

import dataclasses
import pathlib
from collections.abc import Callable

import tensorflow_datasets as tfds

from input_pipeline.datasets.clips import annotations, crosstask
from input_pipeline.datasets.clips.annotations import Clip
from input_pipeline.datasets.parsing import Skip


@dataclasses.dataclass(kw_only=True)
class ClipsConfig(tfds.core.BuilderConfig):
  """A data set.

  Attributes:
    name: of the config.
    files: split -> (pickle, clips in the thesis; 0: not printed).
    read: reads the annotation files below a folder.
    evaluated: split whose clips are divided into those of `by_words`.
    by_words: names of the splits without speech and with speech.
    videos: split -> videos in the thesis, where printed.
    language: spoken language.
  """

  name: str
  files: dict[str, tuple[str, int]]
  read: Callable[[pathlib.Path, Skip], list[Clip]]
  evaluated: str
  by_words: tuple[str, str] = ('sounds', 'speech')
  videos: dict[str, int] = dataclasses.field(default_factory=dict)
  language: str = 'en'


CONFIGS = (
  ClipsConfig(
    name='youcook2',
    files={
      'train': ('youcook_train_audio.pkl', 9_586),
      'val': ('youcook_val_audio.pkl', 3_350),
      'sounds241': ('youcook_val_sounds241.pkl', 241),
      'speech241': ('youcook_val_speech241.pkl', 241),
    },
    read=annotations.read_youcook2,
    evaluated='val',
    by_words=('sounds241', 'speech241'),
  ),
  ClipsConfig(
    name='crosstask',
    files={
      'train': ('crosstask_clips_train.pkl', 17_840),
      'val': ('crosstask_clips_val.pkl', 2_819),
    },
    read=crosstask.read_crosstask,
    evaluated='val',
  ),
  ClipsConfig(
    name='msrvtt',
    files={
      'train_7k': ('msrvtt_train.pkl', 6_783),
      'train_1ka': ('msrvtt_1k-A_train.pkl', 0),
      'test': ('msrvtt_jsfusion_test.pkl', 968),  # of 1,000
    },
    read=annotations.read_msrvtt,
    evaluated='test',
  ),
  ClipsConfig(
    name='lsmdc',
    files={
      'train': ('lsmdc_train.pkl', 101_079),
      'test': ('lsmdc_test.pkl', 1_000),
    },
    read=annotations.read_lsmdc,
    evaluated='test',
  ),
  ClipsConfig(
    name='youcook_japanese',
    # There are about 10, 3 and 3 thousand clips.
    files={
      'train': ('youcook_japanese_train.pkl', 0),
      'val': ('youcook_japanese_val.pkl', 0),
      'eval': ('youcook_japanese_eval.pkl', 0),
    },
    videos={'train': 737, 'val': 224, 'eval': 213},
    read=annotations.read_youcook_japanese,
    evaluated='eval',
    language='ja',
  ),
)
