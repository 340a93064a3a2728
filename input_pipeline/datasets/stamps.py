"""Tux Paint stamps: pictures of objects with spoken descriptions.

A miniature of Places Audio and YouCook2 made of ordinary material: the stamps
of a drawing program for children (Debian package `tuxpaint-stamps-default`,
GPL-2), whose descriptions volunteers have recorded in many languages. Three
kinds of speech or sound, kept apart by the name of the BuilderConfig:

  human_LANG     the volunteer's recordings: train, test, unseen_words
  narrated_LANG  the captions spoken by espeak-ng: train (ten renderings a
                 caption), validation (the same captions by voices that never
                 occur in train), unseen_words (captions, pictures and voices
                 that never occur in train)
  sounds         the natural sounds that some stamps have: test

Only PNG pictures of objects are taken (nothing below `symbols/`), one a
caption. What goes into which split depends on the content of pictures,
captions and recordings alone: stamps that share any of them form a group, and
a group stands on one side of every split, in every language.
"""

import collections
import dataclasses
import functools
import hashlib
import io
import json
import pathlib

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from PIL import Image

from avl_jax.backbones import efficientnet
from avl_jax.features import MediaError, audio, visual
from input_pipeline import debian, narration, tuxpaint
from input_pipeline.tuxpaint import Stamp

PACKAGE = {
  'package': 'tuxpaint-stamps-default',
  'version': '2022.06.04-1',
  'sha256': '6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34',
}
RENDERINGS = 10  # narrations of a training caption
# Variants of espeak-ng; robots, whispers and effects left out.
VALIDATION_VOICES = (
  *('Alicia', 'belinda', 'caleb', 'f4', 'm5', 'pablo', 'quincy', 'travis'),
)
TRAIN_VOICES = (
  *('Alex', 'Andrea', 'Andy', 'Annie', 'Denis', 'Diogo', 'Gene', 'Henrique'),
  *('Hugo', 'Jacky', 'Lee', 'Marco', 'Mario', 'Michael', 'Mike', 'Mr serious'),
  *('Nguyen', 'Reed', 'Storm', 'adam', 'anika', 'antonio', 'aunty', 'boris'),
  *('david', 'ed', 'edward', 'f1', 'f2', 'f3', 'f5', 'grandma', 'grandpa'),
  *('gustave', 'ian', 'iven', 'john', 'kaukovalta', 'klatt', 'klatt3', 'linda'),
  *('m1', 'm2', 'm3', 'm4', 'm6', 'm7', 'm8', 'marcelo', 'max', 'michel'),
  *('miguel', 'norbert', 'paul', 'pedro', 'rob', 'robert', 'sandro', 'shelby'),
  *('steph', 'victor', 'zac'),
)
SILENCE = 1e-3  # a recording whose peak is below this (-60 dBFS) is silent


@dataclasses.dataclass(kw_only=True)
class StampsConfig(tfds.core.BuilderConfig):
  """`kind` of speech ('human', 'narrated', 'sounds') and its `language`."""

  kind: str
  language: str = 'en'


class Stamps(tfds.core.GeneratorBasedBuilder):
  """TFDS builder of the stamps; see the module.

  Args:
    media_dir: folder of an unpacked package. None: fetch it through apt.
    **kwargs: of `tfds.core.GeneratorBasedBuilder`.
  """

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS = (
    *(
      StampsConfig(name=f'{kind}_{language}', kind=kind, language=language)
      for kind in ('human', 'narrated')
      for language in tuxpaint.LANGUAGES
    ),
    StampsConfig(name='sounds', kind='sounds'),
  )

  def __init__(self, *, media_dir: str | None = None, **kwargs):
    super().__init__(file_format='array_record', **kwargs)
    self._media_dir = media_dir
    self._skipped = collections.defaultdict(list)

  def _info(self) -> tfds.core.DatasetInfo:
    features = tfds.features
    return self.dataset_info_from_configs(
      description=__doc__,
      license='GPL-2',
      features=features.FeaturesDict(
        {
          'id': features.Text(),
          'group': features.Text(doc='never together in a batch'),
          'language': features.Text(),
          'audio': features.Text(doc='FLAC file, 16 kHz mono'),
          'spectrogram': features.Tensor(
            shape=(None, 40), dtype=np.float16, encoding='bytes'
          ),
          'visual_2d': features.Tensor(
            shape=(None, 1280), dtype=np.float32, encoding='bytes'
          ),
          'image': features.Text(doc='PNG file, 224 x 224, on white'),
          'captions': features.Sequence(features.Text()),
          'source': features.Text(doc='recording, or voice and its settings'),
        }
      ),
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # The package comes through apt.
    downloads = pathlib.Path(self._data_dir_root) / 'downloads'
    folder = self._media_dir or debian.fetch(**PACKAGE, cache=downloads)
    stamps = tuxpaint.read_stamps(pathlib.Path(folder))
    self._narrator = narration.Narrator()
    kind, language = self.builder_config.kind, self.builder_config.language
    splits = collections.defaultdict(list)
    if kind == 'sounds':
      splits['test'] = [stamp for stamp in stamps if stamp.sound]
    else:
      spoken = [stamp for stamp in stamps if language in stamp.recordings]
      self._skipped['no caption'] = [
        stamp.name for stamp in spoken if language not in stamp.captions
      ]
      for stamp in tuxpaint.distinct(spoken, language):
        splits[tuxpaint.split_of(stamp)].append(stamp)
    if kind == 'narrated':
      seen = splits.pop('train', []) + splits.pop('test', [])
      splits |= {'train': seen, 'validation': seen}
    return {
      name: self._generate_examples(name, stamps)
      for name, stamps in splits.items()
    }

  def _generate_examples(self, split: str, stamps: list[Stamp]):
    config = self.builder_config
    stamps, pictures = self._read_pictures(stamps, split)
    speak = {
      'human': lambda stamp: _recording(stamp.recordings[config.language]),
      'sounds': lambda stamp: _recording(stamp.sound),
      'narrated': lambda stamp: _narrations(
        stamp, config.language, split, self._narrator
      ),
    }[config.kind]
    bar = tqdm.tqdm(stamps, f'{self.name}/{config.name} {split}', unit='stamp')
    for stamp, picture in zip(bar, pictures, strict=True):
      for source, make in speak(stamp):
        identity = f'{stamp.name}/{config.name}/{source}'
        try:
          waveform = _not_silent(make(), identity)
        except MediaError as error:
          self._skipped[f'bad audio: {type(error).__name__}'].append(identity)
          continue
        yield (
          identity,
          {
            'id': identity,
            'group': stamp.group,
            'language': config.language,
            'audio': audio.encode_flac(waveform),
            'spectrogram': audio.log_mel_spectrogram(waveform).astype('f2'),
            'captions': [stamp.captions[config.language]],
            'source': source,
          }
          | picture,
        )
    self._write_skipped()

  def _read_pictures(self, stamps: list[Stamp], split: str):
    """The stamps whose picture can be read, and the pictures' features."""
    good, images = [], []
    for stamp in stamps:
      try:
        images.append(visual.fit_square(visual.read_image(stamp.picture)))
        good.append(stamp)
      except MediaError as error:
        self._skipped['bad picture'].append(f'{stamp.name}: {error}')
    name = f'{self.name}/{self.builder_config.name} {split} pictures'
    vectors = visual.extract(
      tqdm.tqdm(images, name, unit='picture'), efficientnet.backbone()
    )
    return good, [
      {'image': _encode_png(image), 'visual_2d': vector[None]}
      for image, vector in zip(images, vectors, strict=True)
    ]

  def _write_skipped(self) -> None:
    """Lists what was left out, by reason, in a file beside the records."""
    table = {reason: sorted(items) for reason, items in self._skipped.items()}
    path = pathlib.Path(self.data_dir) / 'skipped.json'
    path.write_text(json.dumps(table, indent=2, ensure_ascii=False) + '\n')


def _encode_png(image: np.ndarray) -> bytes:
  file = io.BytesIO()
  Image.fromarray(image).save(file, 'png')
  return file.getvalue()


def _recording(path: pathlib.Path):
  """One (source, function that reads it)."""
  return [(path.name, lambda: audio.read_audio(path))]


def _narrations(stamp: Stamp, language: str, split: str, narrator: narration.Narrator):
  """Yields (source, function that speaks it) of each rendering of a caption.

  Voice and settings are a function of the caption and the split.
  """
  caption = stamp.captions[language]
  seed = f'{split} {language} {tuxpaint.normalise(caption)}'
  rng = np.random.default_rng(
    int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8])
  )
  train = split == 'train'
  voices = TRAIN_VOICES if train else VALIDATION_VOICES
  for voice in rng.choice(voices, RENDERINGS if train else 1, replace=False):
    settings = {
      'rate': int(rng.integers(110, 200)),
      'pitch': int(rng.integers(20, 80)),
      'pitch_range': int(rng.integers(20, 80)),
    }
    source = f'{voice} {" ".join(f"{k}={v}" for k, v in settings.items())}'
    yield (
      source,
      functools.partial(narrator.speak, caption, language, voice, **settings),
    )


def _not_silent(waveform: np.ndarray, name: str) -> np.ndarray:
  peak = np.abs(waveform).max()
  if peak < SILENCE:
    raise MediaError(f'{name} is silent: its peak is {peak:.1e} of full scale')
  return waveform
