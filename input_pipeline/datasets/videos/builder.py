"""HowTo100M: untrimmed narrated videos.

From features laid out as the authors', `media_dir` holds
`HowTo100M_1166_videopaths.txt` (a column `path`, the last part of which is the
video's id), below each path ID_2d, ID_3d (.npz with the array `features`, or
.npy: one and 1.5 vectors a second) and ID_spec (.npz with `arr_0`, [40, T] dB
below the video's loudest cell), and perhaps `caption.pickle` or `caption.json`.
Where the spectrograms lie elsewhere, it is FEATURES:AUDIO.

From the videos themselves, it holds that list or `HowTo100M_v1.csv` (columns
`video_id` and `category_1`), the captions, and in `videos/` or anywhere below
the files ID.mp4 (.mkv, .webm, .avi), whose features and spectrograms are
extracted, once, as far as they have not been.

TFDS shuffles records by a hash of the id, so `train[:10%]` is a random tenth
of the videos that contains `train[:2%]`.
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
from avl_jax.extraction.video_features import Extraction, VideoFiles
from avl_jax.features import MediaError
from input_pipeline.datasets import parsing
from input_pipeline.datasets.clips.annotations import find
from input_pipeline.datasets.uncompressed_array_record import uncompressed

LIST = 'HowTo100M_1166_videopaths.txt'
OFFICIAL_LIST = 'HowTo100M_v1.csv'
EXPECTED = 1_166_089  # of 1,238,792 videos; the others were gone
CAPTIONS = ('caption.pickle', 'caption.json')


@dataclasses.dataclass(kw_only=True)
class VideosConfig(tfds.core.BuilderConfig):
  """All videos, or those of a category: the first part of their paths."""

  category: str = ''


class Videos(tfds.core.GeneratorBasedBuilder):
  """TFDS builder of untrimmed videos; see the module.

  Args:
    media_dir: folder of the features, or FEATURES:AUDIO, or of the videos.
    extraction: of the videos' features; None: they are in files.
    **kwargs: of `tfds.core.GeneratorBasedBuilder`.
  """

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS = (
    VideosConfig(name='howto100m'),
    VideosConfig(name='howto100m_food', category='food_and_entertaining'),
  )

  def __init__(
    self,
    *,
    media_dir: str = '',
    extraction: Extraction | None = None,
    **kwargs,
  ):
    self._extraction = extraction
    super().__init__(file_format='array_record', **kwargs)
    roots = [
      pathlib.Path(folder).expanduser()
      for folder in media_dir.split(os.pathsep)
    ]
    self._features, self._audio = roots[0], roots[-1]
    self._media_dir = media_dir

  def _info(self) -> tfds.core.DatasetInfo:
    features = tfds.features

    def tensor(*shape) -> tfds.features.Tensor:
      return features.Tensor(shape=shape, dtype=np.float16, encoding='bytes')

    # As in the file: a frame's boundary may hang on the last digit.
    seconds = features.Tensor(shape=(None,), dtype=np.float64)
    widths = {'visual_2d': None, 'visual_3d': None}
    if self._extraction:
      widths = self._extraction.widths
    return self.dataset_info_from_configs(
      description=__doc__,
      features=features.FeaturesDict(
        {
          'id': features.Text(),
          'group': features.Text(doc='the video itself'),
          'language': features.Text(),
          'spectrogram': tensor(None, 40),
          'captions': features.Sequence(features.Text()),
          'caption_starts': seconds,
          'caption_ends': seconds,
          'source': features.Text(doc='the path in the list'),
        }
        | {stream: tensor(None, width) for stream, width in widths.items()}
      ),
    )

  def _download_and_prepare(self, *args, **kwargs) -> None:
    with uncompressed():
      super()._download_and_prepare(*args, **kwargs)

  def _split_generators(self, dl_manager):
    del dl_manager  # The videos belong to their owners.
    self._skipped = LeftOut()
    self._widths: dict[str, int] = {}  # of the streams, in files
    paths = self._read_list()
    category = self.builder_config.category
    chosen = [p for p in paths if not category or p.split('/')[0] == category]
    self._videos = VideoFiles(self._features) if self._extraction else None
    return {'train': self._generate_examples(chosen)}

  def _read_list(self) -> list[str]:
    """CATEGORY/.../ID of each video, as the authors' list has them."""
    if self._media_dir and (path := find(self._features, LIST)):
      rows = parsing.table(path, ['path'])
      return [path.replace('None/', '') for (path,) in rows]
    if self._media_dir and (path := find(self._features, OFFICIAL_LIST)):
      rows = parsing.table(path, ['category_1', 'video_id'])
      return [
        f'{category.lower().replace(" ", "_")}/{video}'
        for category, video in rows
      ]
    raise UserError(
      f'{self.name}/{self.builder_config.name}: no {LIST} or {OFFICIAL_LIST} '
      f'in {self._media_dir!r}: name the folder with it and with the videos '
      'features, --config.prepare.media_dir=FOLDER, or with the videos and '
      '--config.prepare.resnet152=FILE --config.prepare.resnext101=FILE; '
      '`python main.py --config=configs/stamps.py` runs without them'
    )

  def _generate_examples(self, paths: list[str]) -> Iterator:
    name = f'{self.name}/{self.builder_config.name}'
    captions, seen, good = self._read_captions(), set(), 0
    for path in tqdm.tqdm(paths, name, mininterval=1):
      video = path.rsplit('/', 1)[-1]
      if video in seen:
        self._skipped.add('listed twice', path)
        continue
      seen.add(video)
      try:
        arrays = self._read_arrays(path, video)
      except MediaError as error:
        self._skipped.add(error.reason, f'{path}: {error}')
        continue
      except torch_files.OutsideError as error:
        self._skipped.add('unsafe id', f'{path}: {error}')
        continue
      except (OSError, torch_files.ReleaseError) as error:
        gone = isinstance(error, FileNotFoundError)
        reason = 'no file' if gone else MediaError.reason
        self._skipped.add(reason, f'{path}: {error}')
        continue
      good += 1
      identity = {'id': video, 'group': video, 'language': 'en'}
      texts = self._captions_of(captions, video)
      yield video, {**identity, **arrays, **texts, 'source': path}
    self._report(name, good, paths)

  def _read_arrays(self, path: str, video: str) -> dict[str, np.ndarray]:
    if self._extraction:
      torch_files.inside(self._features, path)  # raises
      return self._extraction(self._videos(video), dtype=np.float16)
    spectrogram = self._read(self._audio, path, f'{video}_spec', 'arr_0').T
    if spectrogram.ndim != 2 or spectrogram.shape[1] != 40:
      raise torch_files.ReleaseError(f'{video}_spec is not [40, T]')
    arrays = {'spectrogram': spectrogram.astype(np.float16)}
    for stream in ('2d', '3d'):
      array = self._read(self._features, path, f'{video}_{stream}', 'features')
      if array.ndim != 2 or not len(array):
        raise torch_files.ReleaseError(f'{video}_{stream} is {array.shape}')
      arrays[f'visual_{stream}'] = array.astype(np.float16)
    for key, array in arrays.items():
      if not np.isfinite(array).all():
        raise torch_files.ReleaseError(f'{key} of {video} is not finite')
      width = self._widths.setdefault(key, array.shape[1])
      if array.shape[1] != width:  # They would not make a batch.
        raise torch_files.ReleaseError(
          f'{key} of {video} is {array.shape[1]} wide, that of the first '
          f'video {width}'
        )
    return arrays

  def _read(self, root: pathlib.Path, path: str, name: str, key: str):
    npz = torch_files.inside(root, path, f'{name}.npz')
    npy = npz.with_suffix('.npy')
    return torch_files.read_array(npz if npz.exists() else npy, key)

  def _read_captions(self) -> dict:
    """Video -> captions; AnnotationError or ReleaseError of a wrong file."""
    for name in CAPTIONS:
      path = self._features / name
      if path.is_file():
        is_json = path.suffix == '.json'
        found = (parsing.read_json if is_json else torch_files.read_pickle)(
          path
        )
        if not isinstance(found, dict):
          raise parsing.AnnotationError(
            f"{path}: expected {{video: {{'start', 'end', 'text'}}}}, got a "
            f'{type(found).__name__}'
          )
        return found
    print(f'no {" or ".join(CAPTIONS)}: the records will have no captions')
    return {}

  def _captions_of(self, captions: dict, video: str) -> dict:
    """The captions of a video that are whole, in the file's order."""
    found = captions.get(video, {'start': [], 'end': [], 'text': []})
    try:
      starts, ends = (np.array(found[key], 'f8') for key in ('start', 'end'))
      texts = [str(text) for text in found['text']]
      is_whole = starts.shape == ends.shape == (len(texts),)
      is_whole &= bool(np.isfinite([starts, ends]).all())
    except (KeyError, TypeError, ValueError):
      is_whole = False
    if not is_whole:
      self._skipped.add('captions unusable', video)
      starts, ends, texts = np.zeros(0), np.zeros(0), []
    elif captions and not texts:
      self._skipped.add('no captions', video)
    return {'captions': texts, 'caption_starts': starts, 'caption_ends': ends}

  def _report(self, name: str, good: int, paths: list[str]) -> None:
    """Says how many there are, lists what was left out beside the records.

    Raises:
      UserError: there is none.
    """
    if not good:
      raise UserError(
        f'{name}: none of the {len(paths):,} videos of the list can be used: '
        f'{self._skipped}'
      )
    line = f'{name}: {good:,} of {len(paths):,} videos of the list'
    if not self.builder_config.category and good < EXPECTED:
      line += f', {EXPECTED - good:,} fewer than the thesis had'
      self._skipped.add(
        'videos fewer than expected', f'{good:,} of {EXPECTED:,}'
      )
    print(line)
    self._skipped.write(self.data_dir)
