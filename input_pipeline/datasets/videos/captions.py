"""Reads the captions of HowTo100M with their times."""

import pathlib

from avl_jax import logs
from input_pipeline.datasets.videos import caption_lists
from input_pipeline.datasets.videos.caption_index import CaptionIndex

FILES = ('caption.pickle', 'caption.json')


class Captions:
  """The captions of a folder of videos.

  Example:
    captions = Captions(pathlib.Path('media'), pathlib.Path('records/captions'))
    features, problem = captions.of_video('-0dAWGUZv5c')
  """

  def __init__(self, folder: pathlib.Path, indices: pathlib.Path):
    """Finds the file of captions and opens its index.

    Args:
      folder: has `caption.pickle` or `caption.json`: video -> {'start', 'end',
        'text'}; or neither.
      indices: folder of the index, which is made if it is missing.

    Raises:
      AnnotationError, ReleaseError: the file is malformed.
      UserError: the index cannot be written.
    """
    paths = [folder / name for name in FILES]
    path = next(filter(pathlib.Path.is_file, paths), None)
    self._index = CaptionIndex(path, indices) if path else None
    if not path:
      logs.write(
        f'There is no {" or ".join(FILES)}: the records will have no captions.'
      )

  def of_video(self, video: str) -> tuple[dict, str]:
    """Returns the captions of a video in the file's order, and a problem.

    Args:
      video: id of the video.

    Returns:
      The features `captions`, `caption_starts` and `caption_ends` of a record,
      without captions if they are malformed; and a remark for `skipped.json`,
      '' if the captions are fine.
    """
    found, problem = caption_lists.NONE, ''
    if self._index:
      found = self._index.find(video)
      if found is None:
        found, problem = caption_lists.NONE, 'captions unusable'
      elif not found.texts and not self._index.is_empty:
        problem = 'no captions'
    features = {
      'captions': found.texts,
      'caption_starts': found.starts,
      'caption_ends': found.ends,
    }
    return features, problem
