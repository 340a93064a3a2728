"""Builds Places Audio: images with spoken captions, in three languages.

`media_dir` is the folder of a distribution with its lists (see `lists`) and
recordings: PlacesAudio_400k_distro (English), PlacesAudioJpn_100k (Japanese)
or PlacesHindi100k (Hindi). The images of Places205 are distributed separately:
put them into the same folder, or name both folders, AUDIO:IMAGES. The JSON
lists contain the base paths of the computer on which they were made. Edit
them, as their authors say: '' or a folder below media_dir. No file outside
these folders is read, whatever a list contains.

The first 20 s of each recording are kept, as in the thesis (section 3.3.1), in
dB below the loudest cell of the whole recording. Image files are kept
unchanged, after checking that they decode.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
import tqdm

from avl_jax import logs
from avl_jax.errors import UserError
from avl_jax.extraction.skipped import Skipped
from avl_jax.features import MEL_BINS, MediaError, Status, reading
from avl_jax.files import OutsideError, inside
from input_pipeline.datasets.spoken_captions import lists, media
from input_pipeline.datasets.spoken_captions.lists import Caption


@dataclasses.dataclass(kw_only=True)
class SpokenCaptionsConfig(tfds.core.BuilderConfig):
  """A language: split -> (list, captions in the thesis; 0: unknown)."""

  name: str
  lists: dict[str, tuple[str, int]]
  language: str


class SpokenCaptions(tfds.core.GeneratorBasedBuilder):
  """TFDS builder of spoken captions; see the module.

  Args:
    media_dir: folder of lists, recordings and images; or two folders,
      AUDIO:IMAGES.
    **kwargs: of `tfds.core.GeneratorBasedBuilder`.
  """

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS = (
    SpokenCaptionsConfig(
      name='places_en',
      lists={
        'train': ('metadata/train.json', 400_000),
        'val': ('metadata/val.json', 1_000),
      },
      language='en',
    ),
    SpokenCaptionsConfig(
      name='places_ja',
      lists={
        'train': ('PlacesAudioJpn_100k_image2audio_train.txt', 100_000),
        'val': ('PlacesAudioJpn_100k_image2audio_valid.txt', 1_000),
      },
      language='ja',
    ),
    SpokenCaptionsConfig(
      name='places_hi',
      lists={
        'train': ('PlacesHindi100k_train.json', 100_000),
        'val': ('PlacesHindi100k_dev.json', 1_000),
        'test': ('PlacesHindi100k_test.json', 0),
      },
      language='hi',
    ),
  )

  def __init__(self, *, media_dir: str = '', **kwargs):
    super().__init__(file_format='array_record', **kwargs)
    folders = media_dir.split(os.pathsep)
    roots = [pathlib.Path(folder).expanduser() for folder in folders]
    self._audio_root, self._image_root = roots[0], roots[-1]
    self._media_dir = media_dir

  def _info(self) -> tfds.core.DatasetInfo:
    features = tfds.features
    return self.dataset_info_from_configs(
      description=__doc__,
      features=features.FeaturesDict(
        {
          'id': features.Text(),
          'group': features.Text(doc='the image that all captions describe'),
          'language': features.Text(),
          'speaker': features.Text(),
          'spectrogram': features.Tensor(
            shape=(None, MEL_BINS), dtype=np.float16, encoding='bytes'
          ),
          'image': features.Text(doc='the unchanged file: JPEG or other'),
          'captions': features.Sequence(
            features.Text(), doc='transcript by a speech recogniser'
          ),
          'source': features.Text(doc='list and index in it'),
        }
      ),
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # The files belong to their owners.
    self._skipped = Skipped()
    files = {k: file for k, (file, _) in self.builder_config.lists.items()}
    name = f'{self.name}/{self.builder_config.name}'
    present = [
      split
      for split, file in files.items()
      if self._media_dir and (self._audio_root / file).is_file()
    ]
    if not present:
      raise UserError(
        f'{name}: There is no list of Places Audio in {self._media_dir!r}. Put '
        f'{" or ".join(files.values())} and the files that it lists into a '
        'folder and set --config.prepare.media_dir=FOLDER (images in another '
        'folder: AUDIO:IMAGES).'
      )
    for split in files.keys() - present:
      self._skipped.add(
        Status.MISSING, f'{files[split]}: The split {split!r} is not built.'
      )
      logs.write(
        f'{name}: There is no {files[split]}, so the split {split!r} is not '
        'built.'
      )
    return {split: self._generate_examples(split) for split in present}

  def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
    file, expected = self.builder_config.lists[split]
    name = f'{self.name}/{self.builder_config.name} {split}'
    captions = list(lists.read_list(self._audio_root / file))
    self._check_bases(file, next(filter(None, captions), None))
    count = 0
    seen: set[str] = set()
    for index, caption in enumerate(tqdm.tqdm(captions, name, mininterval=1)):
      source = f'{file}[{index}]'
      if caption is None:
        self._skipped.add(
          Status.UNSAFE_NAME,
          f'{source}: Expected the names of a recording and an image.',
        )
        continue
      try:
        with reading.guard(f'{caption.wav} with {caption.image}'):
          example = self._example(caption)
      except MediaError as error:
        self._skipped.add_error(source, error)
        continue
      self._skipped.add(Status.OK, source)
      identity = caption.id
      if identity in seen:  # an utterance may be listed twice
        identity = f'{identity}/{index}'
      seen.add(identity)
      count += 1
      yield identity, example | {'id': identity, 'source': source}
    self._skipped.report(
      name,
      count,
      f'{len(captions):,} captions of the list',
      expected=expected,
      shortfall=f'{split}: captions fewer than expected',
      remedy='Correct the list or its files, then run the same command again.',
    )
    self._skipped.write(self.data_dir)

  def _check_bases(self, file: str, caption: Caption | None) -> None:
    """Checks that a list's base paths stay inside the roots (UserError)."""
    if caption is None:
      return
    for key, root, base in (
      ('audio_base_path', self._audio_root, caption.audio_base),
      ('image_base_path', self._image_root, caption.image_base),
    ):
      try:
        inside(root, base)
      except OutsideError as error:
        raise UserError(
          f'{key} of {self._audio_root / file}: {error} Set it to a folder '
          "below that one, or to ''. If images and recordings lie in two "
          'folders, set --config.prepare.media_dir=AUDIO:IMAGES.'
        ) from error

  def _example(self, caption: Caption) -> dict:
    wav = inside(self._audio_root, caption.audio_base, caption.wav)
    image = inside(self._image_root, caption.image_base, caption.image)
    return {
      'group': caption.image,
      'language': self.builder_config.language,
      'speaker': caption.speaker,
      'spectrogram': media.read_spectrogram(wav),
      'image': media.read_image_file(image),
      'captions': [caption.text] if caption.text else [],
    }
