"""Places Audio: images with spoken captions, in three languages.

`media_dir` is the folder of a distribution with its lists (see
`caption_lists`) and recordings: PlacesAudio_400k_distro (English),
PlacesAudioJpn_100k (Japanese) or PlacesHindi100k (Hindi). The images of
Places205 come apart: put them into the same folder, or name theirs too,
AUDIO:IMAGES. The JSON lists hold the base paths of the computer that they were
made on; as their authors say, edit them: '' or a folder below media_dir.
Nothing outside these folders is read, whatever a list says.

Of a recording the first 20 s are kept, as the thesis does (section 3.3.1), in
dB below its loudest cell, be that in what is kept or not. Images are kept as
they come, once they have been read.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
import tqdm

from avl_jax import torch_files
from avl_jax.errors import UserError
from avl_jax.extraction.skipped import LeftOut
from avl_jax.features import MediaError
from input_pipeline.datasets.spoken_captions import lists as caption_lists
from input_pipeline.datasets.spoken_captions import media as caption_media
from input_pipeline.datasets.spoken_captions.lists import Caption


@dataclasses.dataclass(kw_only=True)
class SpokenCaptionsConfig(tfds.core.BuilderConfig):
  """A language: split -> (list, captions that the thesis had; 0: unknown)."""

  lists: dict[str, tuple[str, int]]
  language: str


class SpokenCaptions(tfds.core.GeneratorBasedBuilder):
  """TFDS builder of spoken captions; see the module.

  Args:
    media_dir: folder of lists and recordings, and of the images; or two,
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
          'group': features.Text(doc='the image, of which all captions are'),
          'language': features.Text(),
          'speaker': features.Text(),
          'spectrogram': features.Tensor(
            shape=(None, 40), dtype=np.float16, encoding='bytes'
          ),
          'image': features.Text(doc='the file: JPEG, or as it came'),
          'captions': features.Sequence(
            features.Text(), doc='what a recogniser heard'
          ),
          'source': features.Text(doc='list, and line in it'),
        }
      ),
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # The files belong to their owners.
    self._skipped = LeftOut()
    lists = self.builder_config.lists
    name = f'{self.name}/{self.builder_config.name}'
    there = [
      split
      for split, (file, _) in lists.items()
      if self._media_dir and (self._audio_root / file).is_file()
    ]
    if not there:
      raise UserError(
        f'{name} is made from the lists of Places Audio, of which none is in '
        f'{self._media_dir!r}: put {" or ".join(f for f, _ in lists.values())} '
        'and what it lists into a folder and name it, '
        '--config.prepare.media_dir=FOLDER (images elsewhere: AUDIO:IMAGES)'
      )
    for split in lists.keys() - there:
      self._skipped.add('no file', lists[split][0])
      print(f'{name}: no {lists[split][0]}, so no split {split!r}')
    return {split: self._generate_examples(split) for split in there}

  def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
    file, expected = self.builder_config.lists[split]
    name = f'{self.name}/{self.builder_config.name} {split}'
    captions = list(caption_lists.read_list(self._audio_root / file))
    self._check_bases(file, next(filter(None, captions), None))
    good, seen = 0, set()
    for index, caption in enumerate(tqdm.tqdm(captions, name, mininterval=1)):
      source = f'{file}[{index}]'
      if caption is None:
        self._skipped.add('no names', source)
        continue
      try:
        example = self._example(caption)
      except torch_files.ReleaseError as error:
        self._skipped.add('unsafe id', f'{source}: {error}')
        continue
      except (MediaError, OSError) as error:
        reason = getattr(error, 'reason', MediaError.reason)
        self._skipped.add(reason, f'{source}: {error}')
        continue
      identity = caption.id
      if identity in seen:  # an utterance that is listed twice
        identity = f'{identity}/{index}'
      seen.add(identity)
      good += 1
      yield identity, example | {'id': identity, 'source': source}
    self._report(name, split, good, len(captions), expected)

  def _check_bases(self, file: str, caption: Caption | None) -> None:
    """Raises UserError if the base paths of a list lead out of the roots."""
    if caption is None:
      return
    for key, root, base in (
      ('audio_base_path', self._audio_root, caption.audio_base),
      ('image_base_path', self._image_root, caption.image_base),
    ):
      try:
        caption_lists.find(root, base, '')
      except torch_files.ReleaseError as error:
        raise UserError(
          f'{key} of {self._audio_root / file}: {error}. Set it to a folder '
          "below that one, or to ''; two folders are "
          '--config.prepare.media_dir=AUDIO:IMAGES'
        ) from error

  def _example(self, caption: Caption) -> dict:
    wav = caption_lists.find(self._audio_root, caption.audio_base, caption.wav)
    image = caption_lists.find(
      self._image_root, caption.image_base, caption.image
    )
    return {
      'group': caption.image,
      'language': self.builder_config.language,
      'speaker': caption.speaker,
      'spectrogram': caption_media.read_spectrogram(wav),
      'image': caption_media.read_image_file(image),
      'captions': [caption.text] if caption.text else [],
    }

  def _report(self, name, split, good, listed, expected) -> None:
    """Says how many there are, lists what was left out beside the records.

    Raises:
      UserError: there is none.
    """
    if not good:
      raise UserError(
        f'{name}: none of the {listed:,} captions of the list can be used; '
        f'left out so far: {self._skipped}'
      )
    line = f'{name}: {good:,} of {listed:,} captions of the list'
    if good < expected:
      line += f', {expected - good:,} fewer than the thesis had'
      self._skipped.add(
        f'{split}: captions fewer than expected', f'{good:,} of {expected:,}'
      )
    print(line)
    self._skipped.write(self.data_dir)
