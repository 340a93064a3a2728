"""Builds Tux Paint stamps: pictures of objects with spoken descriptions.

A miniature of Places Audio and YouCook2 from freely available material: the
stamps of a drawing program for children (Debian package
`tuxpaint-stamps-default`, GPL-2), with descriptions that volunteers recorded
in many languages. The name of a BuilderConfig selects the kind of audio:

  human_LANG     recordings by volunteers: train, test, unseen_words
  narrated_LANG  captions spoken by espeak-ng: train (ten renderings per
                 caption), validation (the same captions by voices that never
                 occur in train), unseen_words (captions, pictures and voices
                 that never occur in train)
  sounds         the natural sounds that some stamps have: test

Only PNG pictures of objects are used (nothing below `symbols/`), one per
caption. The split of a stamp depends only on the content of pictures, captions
and recordings: stamps that share any of them form a group, and a group is
never divided between splits, in any language.
"""

import dataclasses
import functools
import io
import pathlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from PIL import Image

from avl_jax.backbones import efficientnet
from avl_jax.errors import UserError
from avl_jax.extraction.skipped import Skipped
from avl_jax.features import MEL_BINS, MediaError, Status, audio, flac, reading
from avl_jax.features import images as image_files
from input_pipeline.datasets.stamps import debian, narration, tuxpaint
from input_pipeline.datasets.stamps.tuxpaint import Stamp

PACKAGE = {
  'package': 'tuxpaint-stamps-default',
  'version': '2022.06.04-1',
  'sha256': '6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34',
}
RENDERINGS = 10  # narrations of a training caption


@dataclasses.dataclass(kw_only=True)
class StampsConfig(tfds.core.BuilderConfig):
  """A kind of audio in a language.

  Attributes:
    name: of the config.
    kind: 'human', 'narrated' or 'sounds'.
    language: code of the language of captions and speech.
  """

  name: str
  kind: str
  language: str = 'en'


class Stamps(tfds.core.GeneratorBasedBuilder):
  """TFDS builder of the stamps; see the module.

  Args:
    media_dir: folder of the unpacked package; '': download it through apt.
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

  def __init__(self, *, media_dir: str = '', **kwargs):
    super().__init__(file_format='array_record', **kwargs)
    self._media_dir = media_dir
    self._narrator = narration.Narrator()

  def _info(self) -> tfds.core.DatasetInfo:
    features = tfds.features
    return self.dataset_info_from_configs(
      description=__doc__,
      license='GPL-2',
      features=features.FeaturesDict(
        {
          'id': features.Text(),
          'group': features.Text(doc='at most one member per batch'),
          'language': features.Text(),
          'audio': features.Text(doc='FLAC file, 16 kHz mono'),
          'spectrogram': features.Tensor(
            shape=(None, MEL_BINS), dtype=np.float16, encoding='bytes'
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
    del dl_manager  # apt downloads the package.
    downloads = pathlib.Path(self._data_dir_root) / 'downloads'
    folder = self._media_dir or debian.fetch(**PACKAGE, cache=downloads)
    folder = pathlib.Path(folder).expanduser()
    stamps = tuxpaint.read_stamps(folder)
    self._skipped = Skipped()
    images = self._read_pictures(self._complete(stamps))
    chosen = tuxpaint.drop_duplicates(
      [stamp for stamp in stamps if stamp.name in images],
      self.builder_config.language,
    )
    for name in images.keys() - {s.name for s in chosen}:
      shared = 'Another stamp has the same picture, caption or sound.'
      self._skipped.add(Status.DUPLICATE, f'{name}: {shared}')
    pictures = self._features({s.name: images[s.name] for s in chosen})
    splits = tuxpaint.splits(chosen, self.builder_config.kind)
    for name, members in splits.items():
      if not members:
        raise UserError(
          f'The split {name!r} of {self.builder_config.name} is empty: none of '
          f'the {len(chosen)} usable stamps of {folder} belongs to it. Use a '
          'folder with more stamps.'
        )
    return {
      name: self._generate_examples(name, members, pictures)
      for name, members in splits.items()
    }

  def _complete(self, stamps: list[Stamp]) -> list[Stamp]:
    """Selects the stamps with the audio and caption that the config needs."""
    kind, language = self.builder_config.kind, self.builder_config.language
    complete = []
    for stamp in stamps:
      sound = stamp.sound if kind == 'sounds' else language in stamp.recordings
      if not sound:
        self._skipped.add(Status.NO_SOUND, f'{stamp.name}: No recording.')
      elif language not in stamp.captions:
        self._skipped.add(Status.MISSING, f'{stamp.name}: No caption.')
      else:
        complete.append(stamp)
    return complete

  def _read_pictures(self, stamps: list[Stamp]) -> dict[str, np.ndarray]:
    """Reads name -> uint8 [224, 224, 3] of each stamp with a good picture."""
    images = {}
    for stamp in self._bar(stamps, 'pictures'):
      try:
        with reading.guard(stamp.name):
          picture = image_files.read_image(stamp.picture)
      except MediaError as error:
        self._skipped.add_error(stamp.name, error)
        continue
      images[stamp.name] = image_files.fit_square(picture)
    return images

  def _features(self, images: dict[str, np.ndarray]) -> dict[str, dict]:
    """Returns name -> the features of a record that depend on the picture."""
    bar = self._bar(images.values(), 'features')
    vectors = image_files.extract(bar, efficientnet.backbone())
    return {
      name: {'image': _encode_png(image), 'visual_2d': vector[None]}
      for (name, image), vector in zip(images.items(), vectors, strict=True)
    }

  def _generate_examples(
    self, split: str, stamps: list[Stamp], pictures: dict[str, dict]
  ) -> Iterator[tuple[str, dict]]:
    count = total = 0
    for stamp in self._bar(stamps, split):
      for source, make in self._speech(stamp, split):
        total += 1
        identity = f'{stamp.name}/{self.builder_config.name}/{source}'
        try:
          waveform = audio.check_audible(make(), identity)
        except MediaError as error:
          self._skipped.add_error(identity, error)
          continue
        self._skipped.add(Status.OK, identity)
        count += 1
        yield (
          identity,
          {
            'id': identity,
            'group': stamp.group,
            'language': self.builder_config.language,
            'audio': flac.encode(waveform),
            'spectrogram': audio.log_mel_spectrogram(waveform).astype('f2'),
            'captions': [stamp.captions[self.builder_config.language]],
            'source': source,
          }
          | pictures[stamp.name],
        )
    self._skipped.report(
      f'{self.name}/{self.builder_config.name} {split}',
      count,
      f'{total:,} pieces of audio of {len(stamps):,} stamps',
      remedy='Use a folder with more stamps.',
    )
    self._skipped.write(self.data_dir)

  def _speech(
    self, stamp: Stamp, split: str
  ) -> Iterable[tuple[str, Callable[[], np.ndarray]]]:
    """Yields (source, function that returns the waveform) per recording."""
    kind, language = self.builder_config.kind, self.builder_config.language
    if kind == 'narrated':
      caption = stamp.captions[language]
      voices, count = narration.VALIDATION_VOICES, 1
      if split == 'train':
        voices, count = narration.TRAIN_VOICES, RENDERINGS
      return narration.renderings(
        self._narrator,
        caption,
        language,
        seed=f'{split} {language} {tuxpaint.normalise(caption)}',
        voices=voices,
        count=count,
      )
    path = stamp.sound if kind == 'sounds' else stamp.recordings[language]
    assert path is not None  # see `_complete`
    return [(path.name, functools.partial(_read_recording, path))]

  def _bar(self, items: Iterable, what: str) -> Iterable:
    name = f'{self.name}/{self.builder_config.name} {what}'
    return tqdm.tqdm(items, name, mininterval=1)


def _read_recording(path: pathlib.Path) -> np.ndarray:
  """The waveform of a file; MediaError whatever is wrong with it."""
  with reading.guard(path):
    return audio.read_audio(path)


def _encode_png(image: np.ndarray) -> bytes:
  file = io.BytesIO()
  Image.fromarray(image).save(file, 'png')
  return file.getvalue()
