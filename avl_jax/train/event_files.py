"""TensorBoard's event files of a run that resumes.

A killed run has logged steps after its last checkpoint, which the resumed run
logs again into a file of its own. TensorBoard then shows the later of two
events; other readers show both. So the earlier ones are taken away, as
`metrics_log.History` does with its rows.

A file is a sequence of TFRecords: the length of an event, uint64, and its CRC,
4 bytes; the event, a protocol buffer; its CRC, 4 bytes.
"""

import pathlib
import struct
from collections.abc import Iterator

from avl_jax.files import write_atomically

_HEAD, _TAIL = 12, 4  # bytes around an event
# Of protocol buffers: kinds of fields by the last three bits of their tag.
_VARINT, _FIXED64, _BYTES = 0, 1, 2
_STEP = 2  # number of the field of an event


def drop_later(workdir: pathlib.Path, last_step: int) -> None:
  """Removes the events after a step, and the incomplete end of a file.

  Args:
    workdir: of the run; its event files stay as they are where they have no
      later events.
    last_step: the last step to keep; -1: none, so the files are removed.

  Raises:
    UserError: a file cannot be written.
  """
  for path in sorted(workdir.glob('events.out.tfevents.*')):
    content = path.read_bytes()
    kept = [event for step, event in _events(content) if step <= last_step]
    if not kept:
      path.unlink()
    elif (rest := b''.join(kept)) != content:
      write_atomically(path, rest)


def _events(content: bytes) -> Iterator[tuple[int, bytes]]:
  """Step and record of each complete event."""
  start = 0
  while start + _HEAD <= len(content):
    (length,) = struct.unpack_from('<Q', content, start)
    end = start + _HEAD + length + _TAIL
    if end > len(content):
      return
    yield _step(content[start + _HEAD : end - _TAIL]), content[start:end]
    start = end


def _step(event: bytes) -> int:
  """Step of an event; 0 if it has none, as the version at a file's start."""
  place = 0
  while place < len(event):
    tag, place = _varint(event, place)
    kind = tag & 7
    if kind == _VARINT:
      value, place = _varint(event, place)
      if tag >> 3 == _STEP:
        return value
    elif kind == _BYTES:
      length, place = _varint(event, place)
      place += length
    else:
      place += 8 if kind == _FIXED64 else 4
  return 0


def _varint(content: bytes, place: int) -> tuple[int, int]:
  """A variable-length integer and the place after it."""
  value, shift = 0, 0
  while place < len(content):
    byte = content[place]
    value |= (byte & 127) << shift
    place, shift = place + 1, shift + 7
    if byte < 128:
      break
  return value, place
