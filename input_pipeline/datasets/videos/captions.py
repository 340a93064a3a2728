"""Reads the captions of HowTo100M with their times."""

import pathlib

import numpy as np

from avl_jax import logs, torch_files
from input_pipeline.datasets import parsing

FILES = ('caption.pickle', 'caption.json')


def read(folder: pathlib.Path) -> dict:
  """Reads video -> {'start', 'end', 'text'}; empty if there is no file.

  Raises:
    AnnotationError, ReleaseError: the file is malformed.
  """
  for name in FILES:
    path = folder / name
    if path.is_file():
      is_json = path.suffix == '.json'
      read_file = parsing.read_json if is_json else torch_files.read_pickle
      found = read_file(path)
      if not isinstance(found, dict):
        raise parsing.AnnotationError(
          f"{path}: Expected {{video: {{'start', 'end', 'text'}}}}, got a "
          f'{type(found).__name__}.'
        )
      return found
  logs.write(
    f'There is no {" or ".join(FILES)}: the records will have no captions.'
  )
  return {}


def of_video(captions: dict, video: str) -> tuple[dict, str]:
  """Returns the captions of a video in the file's order, and a problem.

  Args:
    captions: as `read` returns them.
    video: id of the video.

  Returns:
    The features `captions`, `caption_starts` and `caption_ends` of a record,
    without captions if they are malformed; and a remark for `skipped.json`, ''
    if the captions are fine.
  """
  starts, ends, texts = np.zeros(0), np.zeros(0), []
  found = captions.get(video, {'start': [], 'end': [], 'text': []})
  try:
    starts, ends = (np.array(found[key], 'f8') for key in ('start', 'end'))
    texts = [str(text) for text in found['text']]
    is_valid = starts.shape == ends.shape == (len(texts),)
    is_valid &= bool(np.isfinite([starts, ends]).all())
  except (KeyError, TypeError, ValueError):
    is_valid = False
  problem = ''
  if not is_valid:
    problem = 'captions unusable'
    starts, ends, texts = np.zeros(0), np.zeros(0), []
  elif captions and not texts:
    problem = 'no captions'
  features = {'captions': texts, 'caption_starts': starts, 'caption_ends': ends}
  return features, problem
