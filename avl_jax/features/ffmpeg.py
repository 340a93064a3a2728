"""Opens untrusted audio and video files with FFmpeg's libraries.

FFmpeg guesses the format of a file from its content, and some formats are
lists of other files or of addresses, which FFmpeg would fetch. Therefore
formats are allowed by name, and local files are the only protocol.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from avl_jax.features import EmptyMediaError, MediaError

if TYPE_CHECKING:
  import av

VIDEO_FORMATS = (
  *('asf', 'avi', 'flv', 'matroska', 'mov', 'mpeg', 'mpegts', 'nut', 'ogg'),
)
AUDIO_FORMATS = (
  *('aac', 'ac3', 'aiff', 'amr', 'amrnb', 'amrwb', 'ape', 'au', 'caf', 'eac3'),
  *('flac', 'mp3', 'tta', 'w64', 'wav', 'wv'),
)
MOST_PIXELS = 8192 * 4352  # of a frame: 8K film and some padding


def check_file(path: str | os.PathLike) -> str:
  """Returns the absolute path of a local file.

  Raises:
    MediaError: no regular file has this name, or the file is empty.
  """
  name = os.fspath(path)
  if not os.path.isfile(name):
    raise MediaError(f'{name}: There is no such file.')
  if not os.path.getsize(name):
    raise EmptyMediaError(f'{name}: The file has 0 bytes.')
  # Absolute, so that FFmpeg cannot take the name for an address.
  return os.path.abspath(name)


def open_container(
  source: str | BinaryIO, formats: tuple[str, ...]
) -> 'av.container.InputContainer':
  """Opens an audio or video file with limits on its format and protocol.

  Args:
    source: path from `check_file`, or a file object.
    formats: names of the FFmpeg demuxers that are allowed.

  Returns:
    The open container.

  Raises:
    av.FFmpegError: the file cannot be opened, or has another format.
  """
  import av

  # Tags that are not UTF-8 are accepted; av 19 and later always accept them.
  is_strict = int(av.__version__.partition('.')[0]) < 19
  tags: dict[str, Any] = {'metadata_errors': 'replace'} if is_strict else {}
  return av.open(
    source,
    'r',
    **tags,
    options={'max_pixels': str(MOST_PIXELS)},
    container_options={
      'format_whitelist': ','.join(formats),
      'protocol_whitelist': 'file',
    },
  )


@contextlib.contextmanager
def media_errors(name: str, problem: str) -> Iterator[None]:
  """Turns an FFmpeg error into a MediaError, '{name}: {problem} ({cause}).'."""
  import av

  try:
    yield
  except av.FFmpegError as error:
    raise MediaError(f'{name}: {problem} ({error.strerror}).') from error
