"""Builds HowTo100M: untrimmed narrated videos.

There are two sources of records.

Features in the authors' layout: `media_dir` contains the list
`HowTo100M_1166_videopaths.txt` (a column `path` that ends in the video's id).
Below each path lie ID_2d and ID_3d (.npz with the array `features`, or .npy:
1 and 1.5 vectors per second) and ID_spec (.npz with `arr_0`, [40, T] dB below
the video's loudest cell). Captions (`caption.pickle` or `caption.json`) are
optional. If the spectrograms lie in another folder, `media_dir` is
FEATURES:AUDIO.

Raw videos: `media_dir` contains that list or `HowTo100M_v1.csv` (columns
`video_id` and `category_1`), the captions, and in `videos/` or anywhere below
the files ID.mp4 (.mkv, .webm, .avi). Features and spectrograms are extracted
once and cached.

TFDS shuffles records by a hash of the id, so `train[:10%]` is a random tenth
of the videos that contains `train[:2%]`.
"""

import contextlib
import dataclasses
import math
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
import tqdm

from avl_jax import torch_files
from avl_jax.errors import UserError
from avl_jax.extraction.skipped import Skipped
from avl_jax.extraction.video_features import Extraction, Piece
from avl_jax.extraction.video_files import VideoFiles
from avl_jax.features import MEL_BINS, MediaError, Status, reading
from avl_jax.files import inside
from input_pipeline.datasets import networks, parsing
from input_pipeline.datasets.uncompressed_array_record import UncompressedWriter
from input_pipeline.datasets.videos.captions import Captions

LIST = 'HowTo100M_1166_videopaths.txt'
OFFICIAL_LIST = 'HowTo100M_v1.csv'
EXPECTED = 1_166_089  # of 1,238,792 videos; the others were not available


@dataclasses.dataclass(kw_only=True)
class VideosConfig(tfds.core.BuilderConfig):
  """All videos, or the videos of a category (the first part of their paths)."""

  name: str
  category: str = ''


class Videos(tfds.core.GeneratorBasedBuilder):
  """TFDS builder of untrimmed videos; see the module.

  Args:
    media_dir: folder of the features, or FEATURES:AUDIO, or of the videos.
    extraction: extracts features of videos; None: read features from files.
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

    # float64 as in the file: the last digit may decide on a frame's boundary.
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
          'spectrogram': tensor(None, MEL_BINS),
          'captions': features.Sequence(features.Text()),
          'caption_starts': seconds,
          'caption_ends': seconds,
          'source': features.Text(doc='the path in the list'),
        }
        | {stream: tensor(None, width) for stream, width in widths.items()}
      ),
    )

  def _example_writer(self) -> UncompressedWriter:
    return UncompressedWriter()

  def _split_generators(self, dl_manager):
    del dl_manager  # The videos belong to their owners.
    self._skipped = Skipped()
    self._widths: dict[str, int] = {}  # of the streams, as in the first video
    paths = self._read_list()
    category = self.builder_config.category
    chosen = [p for p in paths if not category or p.split('/')[0] == category]
    self._videos = VideoFiles(self._features) if self._extraction else None
    return {'train': self._generate_examples(chosen)}

  def _read_list(self) -> list[str]:
    """Reads CATEGORY/.../ID of each video, in the form of the authors' list."""
    if self._media_dir and (path := parsing.find(self._features, LIST)):
      rows = parsing.read_table(path, ['path'])
      return [path.replace('None/', '') for (path,) in rows]
    if self._media_dir and (
      path := parsing.find(self._features, OFFICIAL_LIST)
    ):
      rows = parsing.read_table(path, ['category_1', 'video_id'])
      return [
        '/'.join(
          filter(None, [category.strip().lower().replace(' ', '_'), video])
        )
        for category, video in rows
      ]
    raise UserError(
      f'{self.name}/{self.builder_config.name}: There is no {LIST} or '
      f'{OFFICIAL_LIST} in {self._media_dir!r}. Set '
      '--config.prepare.media_dir=FOLDER to the folder of the list and the '
      'features. Or set it to the folder of the list and the videos, together '
      'with --config.prepare.resnet152=FILE --config.prepare.resnext101=FILE. '
      '`python main.py --config=configs/stamps.py` needs none of these files.'
    )

  def _generate_examples(self, paths: list[str]) -> Iterator:
    name = f'{self.name}/{self.builder_config.name}'
    # TFDS' folder of records is data_dir/name/config/version.
    indices = pathlib.Path(self.data_dir).parents[2] / 'captions'
    captions, count = Captions(self._features, indices), 0
    seen: set[str] = set()
    if self._extraction:
      self._extraction.ahead(f'{name}: extracting', self._pieces(paths))
    for path in tqdm.tqdm(paths, name, mininterval=1):
      video = path.rsplit('/', 1)[-1]
      if video in seen:
        self._skipped.add(Status.DUPLICATE, f'{path}: It is listed twice.')
        continue
      seen.add(video)
      try:
        with reading.guard(video):
          arrays = self._read_arrays(path, video)
      except MediaError as error:
        self._skipped.add_error(path, error)
        continue
      self._skipped.add(Status.OK, path)
      count += 1
      identity = {'id': video, 'group': video, 'language': 'en'}
      texts, problem = captions.of_video(video)
      if problem:
        self._skipped.remark(problem, video)
      yield video, {**identity, **arrays, **texts, 'source': path}
    self._skipped.report(
      name,
      count,
      f'{len(paths):,} videos of the list',
      expected=0 if self.builder_config.category else EXPECTED,
      shortfall='videos fewer than expected',
      remedy='Correct the list or its files, then run the same command again.',
    )
    self._skipped.write(self.data_dir)
    if self._extraction:
      networks.write(self.data_dir, self._extraction.networks)

  def _pieces(self, paths: list[str]) -> Iterator[Piece]:
    """The videos of the list that are there."""
    for path in paths:
      with contextlib.suppress(MediaError), reading.guard(path):
        yield self._find(path), 0.0, math.inf, np.float16

  def _find(self, path: str) -> pathlib.Path:
    """The file of a path of the list."""
    assert self._videos is not None
    inside(self._features, path)  # raises OutsideError
    return self._videos(path.rsplit('/', 1)[-1])

  def _read_arrays(self, path: str, video: str) -> dict[str, np.ndarray]:
    if self._extraction and self._videos:
      return self._extraction(self._find(path), dtype=np.float16)
    spectrogram = self._read(self._audio, path, f'{video}_spec', 'arr_0').T
    if spectrogram.ndim != 2 or spectrogram.shape[1] != MEL_BINS:
      raise MediaError(
        f'{video}_spec has the shape {spectrogram.T.shape}. '
        f'Expected [{MEL_BINS}, T].'
      )
    arrays = {'spectrogram': spectrogram.astype(np.float16)}
    for stream in ('2d', '3d'):
      array = self._read(self._features, path, f'{video}_{stream}', 'features')
      if array.ndim != 2 or not len(array):
        raise MediaError(
          f'{video}_{stream} has the shape {array.shape}. Expected [S, V].'
        )
      arrays[f'visual_{stream}'] = array.astype(np.float16)
    for key, array in arrays.items():
      if not np.isfinite(array).all():
        raise MediaError(f'{key} of {video} has infinite or NaN values.')
      width = self._widths.setdefault(key, array.shape[1])
      if array.shape[1] != width:  # A batch needs equal widths.
        raise MediaError(
          f'{key} of {video} is {array.shape[1]} wide. Expected {width}, as in '
          'the first video.'
        )
    return arrays

  def _read(
    self, root: pathlib.Path, path: str, name: str, key: str
  ) -> np.ndarray:
    npz = inside(root, path, f'{name}.npz')
    npy = npz.with_suffix('.npy')
    try:
      return torch_files.read_array(npz if npz.exists() else npy, key)
    except torch_files.ReleaseError as error:
      raise MediaError(str(error)) from error
