"""Lists of images and their spoken captions, as the data sets come with them.

Two formats: DAVEnet's JSON, {'image_base_path', 'audio_base_path', 'data':
[{'uttid', 'speaker', 'asr_text', 'wav', 'image'}]}, of which 'wav' and 'image'
alone must be there; and that of the Japanese captions, a text file with an
image and a recording a line.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator

from avl_jax import torch_files
from avl_jax.errors import UserError

LARGEST = 2**30  # bytes of a list; that of 400,000 captions has about 2^27


@dataclasses.dataclass(frozen=True)
class Caption:
  """A line of a list.

  Attributes:
    id: of the utterance, or the recording's path.
    wav: path of the recording, below `audio_base`.
    image: path of the image, below `image_base`.
    audio_base: folder below the root of the recordings, or ''.
    image_base: folder below the root of the images, or ''.
    text: what a recogniser heard, or ''.
    speaker: or ''.
  """

  id: str
  wav: str
  image: str
  audio_base: str = ''
  image_base: str = ''
  text: str = ''
  speaker: str = ''


def read_list(path: pathlib.Path) -> Iterator[Caption | None]:
  """Yields the captions of a list, None for a line that names no files.

  Args:
    path: of a JSON, or of a text file (*.txt).

  Raises:
    UserError: the file is none of the two, or too large.
  """
  if path.stat().st_size > LARGEST:
    raise UserError(f'{path} has more than {LARGEST} bytes: not a list')
  try:
    text = path.read_text('utf-8')
    if path.suffix == '.txt':
      yield from map(_of_line, text.splitlines())
      return
    content = json.loads(text)
    bases = {
      'audio_base': content.get('audio_base_path', ''),
      'image_base': content.get('image_base_path', ''),
    }
    items = content['data']
    if not isinstance(items, list) or not all(
      isinstance(base, str) for base in bases.values()
    ):
      raise TypeError('a base path is no text, or data no list')
  # RecursionError: from brackets in brackets.
  except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as e:
    raise UserError(
      f"{path} is not a list of spoken captions: expected DAVEnet's JSON with "
      "'data', a list of {'wav', 'image'}, and the texts 'audio_base_path' "
      f"and 'image_base_path' ({e!r})"
    ) from e
  for item in items:
    yield _of_item(item, bases)


def _of_item(item: object, bases: dict[str, str]) -> Caption | None:
  if not isinstance(item, dict):
    return None
  wav, image = item.get('wav'), item.get('image')
  if not (isinstance(wav, str) and isinstance(image, str) and wav and image):
    return None
  return Caption(
    id=str(item.get('uttid', wav)),
    wav=wav,
    image=image,
    text=str(item.get('asr_text', '')),
    speaker=str(item.get('speaker', '')),
    **bases,
  )


def _of_line(line: str) -> Caption | None:
  """Of 'IMAGE WAV', whose leading slashes stand for the roots."""
  names = [name.lstrip('/') for name in line.split()]
  if len(names) != 2 or not all(names):
    return None
  return Caption(id=names[1], wav=names[1], image=names[0])


def find(root: pathlib.Path, base: str, name: str) -> pathlib.Path:
  """The file of a list's entry.

  Raises:
    ReleaseError: it would not be below the root: '..', an absolute path, a
      symbolic link to somewhere else, or no path at all.
  """
  try:
    return torch_files.inside(root, base, name)
  except (OSError, ValueError) as error:
    if isinstance(error, torch_files.ReleaseError):
      raise
    raise torch_files.ReleaseError(f'{name!r} is no path: {error}') from error
