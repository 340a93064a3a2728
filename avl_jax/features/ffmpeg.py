"""Opening sound and video files of anybody with FFmpeg's libraries.

FFmpeg guesses a file's format by its content, and some formats are lists of
other files or addresses, which it would fetch. So formats are allowed by name,
and no protocol but that of local files is.
"""

import contextlib
import os
from collections.abc import Iterator

from avl_jax.features import EmptyMediaError, MediaError

VIDEO_FORMATS = (
  *('asf', 'avi', 'flv', 'matroska', 'mov', 'mpeg', 'mpegts', 'nut', 'ogg'),
)
AUDIO_FORMATS = (
  *('aac', 'ac3', 'aiff', 'amr', 'amrnb', 'amrwb', 'ape', 'au', 'caf', 'eac3'),
  *('flac', 'mp3', 'tta', 'w64', 'wav', 'wv'),
)
MOST_PIXELS = 8192 * 4352  # of a frame: that of 8K film, and some padding


def check_file(path: str | os.PathLike) -> str:
  """The absolute path of a local file.

  Raises:
    MediaError: there is no regular file of this name, or it is empty.
  """
  name = os.fspath(path)
  if not os.path.isfile(name):
    raise MediaError(f'{name}: no such file')
  if not os.path.getsize(name):
    raise EmptyMediaError(f'{name}: the file has 0 bytes')
  # So that no name can be taken for an address.
  return os.path.abspath(name)


def open_container(source, formats: tuple[str, ...]):
  """Opens a sound or video file with what it may be and ask for limited.

  Args:
    source: what `check_file` gave, or a file object.
    formats: names of FFmpeg's demuxers.

  Returns:
    `av.container.InputContainer`.

  Raises:
    av.FFmpegError: it cannot be opened, or has another format.
  """
  import av

  # Tags that are no UTF-8 are no fault; from av 19 on they never are.
  is_strict = int(av.__version__.partition('.')[0]) < 19
  return av.open(
    source,
    **({'metadata_errors': 'replace'} if is_strict else {}),
    options={'max_pixels': str(MOST_PIXELS)},
    container_options={
      'format_whitelist': ','.join(formats),
      'protocol_whitelist': 'file',
    },
  )


@contextlib.contextmanager
def media_errors(name: str, problem: str) -> Iterator[None]:
  """Turns FFmpeg's errors into a `MediaError`, '{name}: {problem} (why)'."""
  import av

  try:
    yield
  except av.FFmpegError as error:
    raise MediaError(f'{name}: {problem} ({error.strerror})') from error
