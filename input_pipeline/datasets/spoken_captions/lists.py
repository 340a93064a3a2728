"""Reads the lists of images and spoken captions that come with the data sets.

There are two formats. DAVEnet's JSON is {'image_base_path', 'audio_base_path',
'data': [{'uttid', 'speaker', 'asr_text', 'wav', 'image'}]}, where only 'wav'
and 'image' are required. The Japanese captions come as a text file with an
image and a recording per line.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator

from avl_jax.errors import UserError

LARGEST = 2**30  # bytes of a list; 400,000 captions take about 2^27


@dataclasses.dataclass(frozen=True)
class Caption:
  """An entry of a list.

  Attributes:
    id: of the utterance, or the path of the recording.
    wav: path of the recording, below `audio_base`.
    image: path of the image, below `image_base`.
    audio_base: folder below the root of the recordings, or ''.
    image_base: folder below the root of the images, or ''.
    text: transcript by a speech recogniser, or ''.
    speaker: id of the speaker, or ''.
  """

  id: str
  wav: str
  image: str
  audio_base: str = ''
  image_base: str = ''
  text: str = ''
  speaker: str = ''


def read_list(path: pathlib.Path) -> Iterator[Caption | None]:
  """Yields the captions of a list; None for an entry without file names.

  Args:
    path: of a JSON file or a text file (*.txt).

  Raises:
    UserError: the file has neither format, or is too large.
  """
  if path.stat().st_size > LARGEST:
    raise UserError(
      f'{path} has more than {LARGEST} bytes. Expected a list of captions.'
    )
  try:
    text = path.read_text('utf-8')
    if path.suffix == '.txt':
      yield from map(_parse_line, text.splitlines())
      return
    content = json.loads(text)
    bases = {
      'audio_base': content.get('audio_base_path') or '',
      'image_base': content.get('image_base_path') or '',
    }
    items = content['data']
    if not isinstance(items, list) or not all(
      isinstance(base, str) for base in bases.values()
    ):
      raise TypeError('a base path is not text, or data is not a list')
  # RecursionError: raised by deeply nested brackets.
  except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as e:
    raise UserError(
      f"{path} is not a list of spoken captions ({e!r}). Expected DAVEnet's "
      "JSON with 'data', a list of {'wav', 'image'}, and the texts "
      "'audio_base_path' and 'image_base_path'."
    ) from e
  for item in items:
    yield _parse_item(item, bases)


def _parse_item(item: object, bases: dict[str, str]) -> Caption | None:
  if not isinstance(item, dict):
    return None
  wav, image = item.get('wav'), item.get('image')
  if not (isinstance(wav, str) and isinstance(image, str) and wav and image):
    return None
  return Caption(
    id=_text(item, 'uttid') or wav,
    wav=wav,
    image=image,
    text=_text(item, 'asr_text'),
    speaker=_text(item, 'speaker'),
    **bases,
  )


def _text(item: dict, key: str) -> str:
  """A text of an entry; '' if it is missing or null."""
  value = item.get(key)
  return '' if value is None else str(value)


def _parse_line(line: str) -> Caption | None:
  """Parses 'IMAGE WAV', where leading slashes stand for the roots."""
  names = [name.lstrip('/') for name in line.split()]
  if len(names) != 2 or not all(names):
    return None
  return Caption(id=names[1], wav=names[1], image=names[0])
