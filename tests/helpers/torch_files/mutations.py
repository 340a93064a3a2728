"""Small valid files of every format, and damaged ones made of them."""

import io
import pickle
import pickletools
import random
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tests.helpers.torch_files import made_files

# Sizes, counts and offsets that programs get wrong.
NUMBERS = (0, 1, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**62, 2**64 - 1)
COUNTS = (1, 1, 1, 2, 4)  # of changes to a file: most change little
PIECES = (1, 1, 2, 8, 40)  # bytes that are removed, repeated or inserted
# Of a zip file: local header, entry of the directory, its end.
RECORDS = (b'PK\x01\x02', b'PK\x03\x04', b'PK\x05\x06')


class Seed(NamedTuple):
  """A valid file: `wrap(inner)`."""

  reader: str  # 'pickle', 'checkpoint' or 'array'
  inner: bytes  # a pickle or an .npy file
  wrap: Callable[[bytes], bytes] = bytes  # as the file is


def seeds() -> list[Seed]:
  array = np.arange(6, dtype='f4').reshape(2, 3)
  storage = made_files.Storage('7', array, 'FloatStorage')
  tensor = made_files.tensor(storage, 0, (2, 3), (3, 1))
  alone = made_files.Global(
    'torch.storage._load_from_bytes', made_files.legacy(storage, [storage])
  )
  clips = [
    {
      'id': 'a',
      '2d': array,
      'start': np.float64(1.5),
      'end': 20,
      'raw': b'\xff',
    },
    {'id': 'b', '3d': np.asfortranarray(array), 'text': ['hi', 'thérè']},
  ]
  captions = {'a': {'start': [0.1, 2.0], 'end': [2.5, 4], 'text': ['x', 'é']}}
  state = {
    'net': OrderedDict(
      weight=tensor, view=made_files.tensor(storage, 1, (), ())
    ),
    'optimizer': {'state': {0: {'step': 7}}, 'lr': (0.9, 2**40)},
    'amp': OrderedDict(scale=65536.0, on=True, none=None),
  }
  pickles = [
    *(pickle.dumps(captions, protocol) for protocol in range(6)),
    *(pickle.dumps(clips, protocol) for protocol in range(2, 6)),
    made_files.dump([{'audio': made_files.tensor(alone, 0, (3, 2), (1, 3))}]),
  ]
  legacy = made_files.legacy(state, [storage])
  state_pickle = made_files.dump(state)
  before, after = legacy.split(state_pickle)
  npy = io.BytesIO()
  np.save(npy, array)

  def in_archive(content: bytes) -> bytes:
    data = {
      'data.pkl': content,
      'byteorder': b'little',
      'data/7': array.tobytes(),
    }
    return made_files.zipped({f'x/{name}': item for name, item in data.items()})

  def in_npz(content: bytes) -> bytes:
    return made_files.zipped({'a.npy': content}, zipfile.ZIP_STORED)

  def in_compressed_npz(content: bytes) -> bytes:
    return made_files.zipped({'a.npy': content}, zipfile.ZIP_DEFLATED)

  return [
    *(Seed('pickle', content) for content in pickles),
    Seed('checkpoint', state_pickle, lambda x: before + x + after),
    Seed('checkpoint', state_pickle, in_archive),
    *(
      Seed('array', npy.getvalue(), wrap)
      for wrap in (bytes, in_npz, in_compressed_npz)
    ),
  ]


def mutated(seeds: list[Seed], seed: int, index: int) -> tuple[str, bytes]:
  """The reader and content of a damaged file, a function of the numbers."""
  draw = random.Random(f'{seed} {index}')
  kind = draw.choice(('pickle', 'checkpoint', 'array'))
  chosen = draw.choice([file for file in seeds if file.reader == kind])
  inner, own = chosen.inner, _digits if kind == 'array' else _opcodes
  depth = draw.choice(('inner', 'outer', 'both'))
  if depth != 'outer':
    for _ in range(draw.choice(COUNTS)):
      change = draw.choice((own, own, own, *_CHANGES))
      inner = change(inner, draw)
  content = chosen.wrap(inner)
  if depth != 'inner':
    for _ in range(draw.choice(COUNTS)):
      change = draw.choice((_record, _record, *_CHANGES))
      content = change(content, draw)
  if draw.random() < 0.05:  # The beginning of one file, the end of another.
    other = draw.choice(seeds)
    content = content[: _place(content, draw)]
    content += other.wrap(other.inner)[_place(other.inner, draw) :]
  return chosen.reader, content


def _place(content: bytes, draw: random.Random) -> int:
  return draw.randint(0, len(content))


def _put(content: bytes, at: int, new: bytes, removed: int) -> bytes:
  return content[:at] + new + content[at + removed :]


def _flip(content: bytes, draw: random.Random) -> bytes:
  flipped = bytearray(content)
  for _ in range(draw.choice((1, 1, 8)) if content else 0):
    flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
  return bytes(flipped)


def _remove(content: bytes, draw: random.Random) -> bytes:
  return _put(content, _place(content, draw), b'', draw.choice(PIECES))


def _insert(content: bytes, draw: random.Random) -> bytes:
  new = draw.randbytes(draw.choice(PIECES))
  return _put(content, _place(content, draw), new, 0)


def _repeat(content: bytes, draw: random.Random) -> bytes:
  at = _place(content, draw)
  piece = content[at : at + draw.choice(PIECES)]
  return _put(content, at, piece * draw.choice((1, 2, 100)), 0)


def _number(content: bytes, draw: random.Random) -> bytes:
  return _packed(content, _place(content, draw), draw)


def _packed(content: bytes, at: int, draw: random.Random) -> bytes:
  """Overwrites 1, 2, 4 or 8 bytes by a number."""
  size = draw.choice((1, 2, 4, 8))
  number = draw.choice((*NUMBERS, len(content), len(content) - 1)) % 2**64
  return _put(content, at, struct.pack('<Q', number)[:size], size)


_CHANGES = (_flip, _remove, _insert, _repeat, _number)


def _record(content: bytes, draw: random.Random) -> bytes:
  """Overwrites a field of a header, where the content has one."""
  starts = [content.find(mark) for mark in RECORDS]
  at = draw.choice(starts) + draw.randrange(4, 46)
  return _packed(content, max(at, 0), draw)


def _digits(content: bytes, draw: random.Random) -> bytes:
  """Replaces a digit in the text of an array's header."""
  places = [i for i, byte in enumerate(content[:128]) if chr(byte).isdigit()]
  number = str(draw.choice((-1, *NUMBERS))).encode()
  return _put(content, draw.choice(places or [0]), number, 1)


def _opcodes(content: bytes, draw: random.Random) -> bytes:
  """Removes, repeats, exchanges or makes up an instruction of a pickle."""
  try:
    places = [at for _, _, at in pickletools.genops(content)]
  except Exception:  # The pickle was damaged before.
    return _flip(content, draw)
  parts = [
    content[a:b] for a, b in zip(places, [*places[1:], None], strict=True)
  ]
  at, other = draw.randrange(len(parts)), draw.randrange(len(parts))
  new = draw.choice(
    (
      [],
      [parts[at]] * draw.choice((2, 3, 50)),
      [parts[other]],
      [parts[at], parts[other]],
      [draw.choice(pickletools.opcodes).code.encode('latin1'), parts[at]],
    )
  )
  parts[at : at + 1] = new
  return b''.join(parts)
