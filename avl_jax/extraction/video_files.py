"""Finds the video files below a folder, by name."""

import os
import pathlib

from avl_jax.features import MissingError, UnsafeNameError
from avl_jax.files import OutsideError, inside

SUFFIXES = ('.mp4', '.mkv', '.webm', '.avi')


class VideoFiles:
  """The video files below a folder, by name without suffix.

  If the folder has a subfolder `videos`, only that one is searched. Links to
  folders are not followed, and links to files must not lead out of the folder.
  If several files have the same name, the first one is taken, in the order of
  folders, then of names, that has content and does not lead out of the folder.

  Attributes:
    root: the folder that is searched.

  Example:
    files = VideoFiles(pathlib.Path('media'))
    path = files('dQw4w9WgXcQ')  # media/videos/a/dQw4w9WgXcQ.mp4
  """

  def __init__(self, root: pathlib.Path):
    """Lists the files without opening them."""
    videos = root / 'videos'
    self.root = videos if videos.is_dir() else root
    self._names: dict[str, str] = {}
    self._others: dict[str, list[str]] = {}  # of the same name, later in order
    for folder, folders, files in os.walk(self.root):
      folders.sort()
      for file in sorted(files):
        stem, suffix = os.path.splitext(file)
        if suffix.lower() in SUFFIXES:
          path = os.path.relpath(os.path.join(folder, file), self.root)
          if stem in self._names:
            self._others.setdefault(stem, []).append(path)
          else:
            self._names[stem] = path

  def __contains__(self, video: str) -> bool:
    """Whether there is a file of this name."""
    return video in self._names

  def __call__(self, video: str) -> pathlib.Path:
    """Returns the path of a video.

    Raises:
      MissingError: no file has this name.
      UnsafeNameError: the name or a link leads out of the folder.
    """
    if not video or '..' in video.split('/') or set(video) & set('/\\\0'):
      raise UnsafeNameError(
        f'{video!r} is not a file name. Expected a name without a folder.'
      )
    if video not in self._names:
      kinds = ', '.join(SUFFIXES)
      raise MissingError(f'{video} ({kinds}) is not below {self.root}.')
    for name in (self._names[video], *self._others.get(video, ())):
      try:
        path = inside(self.root, name)
        if video not in self._others or path.stat().st_size:
          return path
      except (OutsideError, OSError):  # perhaps a link that leads nowhere
        continue
    try:
      return inside(self.root, self._names[video])
    except OutsideError as error:
      raise UnsafeNameError(str(error)) from error
