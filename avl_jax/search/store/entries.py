"""Entries of an index: its description, its files, and their windows."""

import dataclasses
import pathlib
import re
from typing import Any

import numpy as np

from avl_jax.errors import ConfigError

NAMES = ('video', 'audio', 'sum')
DTYPES = ('float32', 'float16')
_SHARD = re.compile(rf'({"|".join(NAMES)})\.(\d{{12}})\.({"|".join(DTYPES)})')


def shards(folder: pathlib.Path) -> dict[pathlib.Path, int]:
  """File of a shard -> its first row, of all in a folder, by their names."""
  matches = {p: _SHARD.fullmatch(p.name) for p in folder.glob('*.float*')}
  return {path: int(match[2]) for path, match in matches.items() if match}


@dataclasses.dataclass(frozen=True)
class Description:
  """What the vectors of an index are. Saved; compared field by field.

  Attributes:
    model: fingerprint of the variables.
    branch: fingerprint of the video branch alone; a run with another audio
      branch may share it.
    networks: features -> names of the visual networks.
    window: length of a window, seconds.
    step: from the start of a window to that of the next, seconds.
    names: the vectors that a window may have, of 'video', 'audio', 'sum'.
    dim: D, width of a vector.
    dtype: of the stored vectors, 'float32' or 'float16'.
    per_window: vectors of each name that a window has.
    pooling: of the features of a window, see `clips.pool_visual`.
    decoding: version of it, `video_features.VERSION`.
  """

  model: str
  branch: str
  networks: dict[str, str]
  window: float
  step: float
  names: tuple[str, ...]
  dim: int
  dtype: str = 'float32'
  per_window: int = 1
  pooling: str = 'max'
  decoding: int = 2

  def check(self) -> None:
    """Raises ConfigError if no index can be like this."""
    if not self.names or set(self.names) - set(NAMES):
      raise ConfigError(
        f'An index cannot hold the vectors {self.names}. Choose one or more of '
        f'{", ".join(NAMES)}.'
      )
    if self.dtype not in DTYPES:
      raise ConfigError(
        f'An index cannot hold vectors of type {self.dtype!r}. Choose '
        f'{" or ".join(DTYPES)}.'
      )
    if self.per_window != 1 or self.dim < 1:
      raise ConfigError(
        f'An index cannot hold {self.per_window} vectors of width {self.dim} '
        'of a window. It holds one of each name, of width 1 or more.'
      )

  def differences(self, other: 'Description') -> list[str]:
    """Lines such as 'model: a1b2 here, c3d4 there'; [] if both are equal."""
    return [
      f'{field.name}: {mine} here, {theirs} there'
      for field in dataclasses.fields(self)
      if (mine := getattr(self, field.name))
      != (theirs := getattr(other, field.name))
    ]

  @classmethod
  def from_json(cls, value: dict[str, Any]) -> 'Description':
    """The description that `dataclasses.asdict` and JSON have written."""
    value = dict(value)
    return cls(names=tuple(value.pop('names')), **value)


@dataclasses.dataclass(frozen=True)
class IndexedFile:
  """A file of an index.

  Attributes:
    path: relative to the media folder, with '/'. The key of the file.
    content: SHA-256 of the content, in hexadecimal digits.
    size: bytes.
    modified: time of the last change, nanoseconds since the epoch.
    seconds: length; 0.0 of a picture.
    remarks: what was noticed while the file was read.
  """

  path: str
  content: str
  size: int
  modified: int
  seconds: float
  remarks: tuple[str, ...] = ()

  @classmethod
  def from_json(cls, value: dict[str, Any]) -> 'IndexedFile':
    """The file that `dataclasses.asdict` and JSON have written."""
    value = dict(value)
    return cls(remarks=tuple(value.pop('remarks')), **value)


@dataclasses.dataclass(frozen=True)
class Window:
  """A window of a file.

  Attributes:
    path: of the file, relative to the media folder.
    start: seconds from the start of the file.
    end: the same.
  """

  path: str
  start: float
  end: float


@dataclasses.dataclass(frozen=True)
class Entry:
  """A file with its windows and where their vectors lie.

  Attributes:
    file: the file.
    row: row of its first window; the others follow.
    shard: first row of the shard that holds them.
    windows: float64 [n, 2], start and end in seconds.
    present: name -> bool [n], whether a window has a vector of this name.
    digests: name -> SHA-256 of the stored bytes; none where no window has one.
    largest: name -> largest length (norm) of the vectors.
  """

  file: IndexedFile
  row: int
  shard: int
  windows: np.ndarray
  present: dict[str, np.ndarray]
  digests: dict[str, str]
  largest: dict[str, float]

  @property
  def end(self) -> int:
    """The row after the last one."""
    return self.row + len(self.windows)

  def to_json(self) -> dict[str, Any]:
    """The entry for a line of the journal."""
    return {
      'file': dataclasses.asdict(self.file),
      'row': self.row,
      'shard': self.shard,
      'windows': self.windows.tolist(),
      'present': {k: v.astype(int).tolist() for k, v in self.present.items()},
      'sha256': self.digests,
      'largest': self.largest,
    }

  @classmethod
  def from_json(cls, value: dict[str, Any]) -> 'Entry':
    """The entry that `to_json` has written."""
    return cls(
      file=IndexedFile.from_json(value['file']),
      row=value['row'],
      shard=value['shard'],
      windows=np.array(value['windows'], np.float64).reshape(-1, 2),
      present={k: np.array(v, bool) for k, v in value['present'].items()},
      digests=value['sha256'],
      largest=value['largest'],
    )
