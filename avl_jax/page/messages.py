"""Messages for clients, without the details that only the log may have."""

import pathlib
import re
from collections.abc import Iterable

_SENTENCE = re.compile(r'(?<=[.!?])\s+(?=[A-Z])')
_COMMAND = re.compile(r'(?<![\w-])--(?:mode|workdir|config)\b')
_REST = 'Tell whoever runs the server: its log says what to do.'
# Where a path begins and ends: '/media' is none of '/media2' or 'x/media'.
_BEFORE, _AFTER = r'(?<![\w.~/-])', r'(?![\w-]|\.\w)'
_ABSOLUTE = re.compile(rf"{_BEFORE}(?!//)(?:/[^\s/'\"`<>()]+)+")


def without_commands(text: str) -> str:
  """A message up to the first sentence with a command, or an option of one."""
  sentences = _SENTENCE.split(text)
  for count, sentence in enumerate(sentences):
    if _COMMAND.search(sentence):
      return ' '.join([*sentences[:count], _REST])
  return text


def without_folders(text: str, folders: Iterable[pathlib.Path | None]) -> str:
  """A message that tells nothing of where files lie on the server.

  Args:
    text: the message.
    folders: the server's. Of what lies in them, the path from there on stays;
      of other absolute paths, the last name.
  """
  known = {path for folder in folders if folder for path in _spelled(folder)}
  for path in sorted(known, key=len, reverse=True):
    place = f'{_BEFORE}{re.escape(path)}'
    text = re.sub(f'{place}/(?=[^\\s/\'"`])', '', text)
    text = re.sub(f'{place}/?{_AFTER}', _name, text)
  return _ABSOLUTE.sub(_name, text)


def _name(found: re.Match[str]) -> str:
  """The last name of a path."""
  return found[0].rstrip('/').rpartition('/')[2]


def _spelled(folder: pathlib.Path) -> tuple[str, ...]:
  paths = (folder, folder.absolute(), folder.resolve())
  return tuple(str(path) for path in paths if len(path.parts) > 1)
