"""Decodes recordings with libsndfile: quickly, and exact to the sample.

Several recordings may follow each other in one file: joined FLAC files, or a
"chained" Ogg. libsndfile reads the first, so each one is opened by itself.
"""

import io
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import soundfile

from avl_jax.features import MediaError, RefusedError, formats
from avl_jax.features.open_file import OpenFile

_BLOCK = 2**20  # samples of all channels read at a time
_UNTRUSTED = ('MP3', 'MPEG', 'OGG')  # formats whose length must be checked
_TOLERATED = 0.2  # seconds of padding in a codec's packets
_FLAC = b'fLaC\0\0\0\x22'  # the first bytes of a FLAC with several blocks
_LAST = b'fLaC\x80\0\0\x22'  # and of one that has no second block
_PAGE = 27  # bytes of the header of an Ogg page, without its table of sizes


def decode(
  source: str | bytes | OpenFile,
  name: str,
  start: float,
  end: float,
  longest: int,
) -> list[tuple[np.ndarray, int]]:
  """Decodes from `start` to `end` s as mono.

  Args:
    source: result of `containers.check_file`, or the content of a file.
    name: of the file, for messages.
    start: of the piece, seconds.
    end: of the piece, seconds.
    longest: number of samples of the result at most.

  Returns:
    float32 [samples] and the rate in Hz of each recording; empty if libsndfile
    cannot read the file, finds no samples in it, or reads less or more than the
    file has.

  Raises:
    RefusedError: the result is longer.
  """
  runs, length, before = [], 0, 0.0
  try:
    for recording in _recordings(source):
      with soundfile.SoundFile(_for_soundfile(recording)) as sound:
        if sound.format not in formats.SOUNDFILE_FORMATS or not sound.frames:
          return []
        if not _is_whole(recording, sound):
          return []
        rate, last = sound.samplerate, sound.frames
        first, stop = (
          round(min(max(0.0, seconds - before) * rate, last))
          for seconds in (start, end)
        )
        blocks = [np.zeros(0, np.float32)]
        for block in _read(sound, first, stop):
          blocks.append(block)
          length += len(block)
          if length > longest:
            raise RefusedError(
              f'{name}: The audio has more than {longest:,} samples.'
            )
      samples = np.concatenate(blocks)
      runs.append((samples, rate))
      # The header of a FLAC need not know its length.
      ends_early = len(samples) < stop - first
      before += (first + len(samples) if ends_early else last) / rate
  # TypeError: for a file named *.raw, libsndfile needs to be told the format.
  except (soundfile.LibsndfileError, TypeError):
    return []
  return runs


def _for_soundfile(source: str | bytes | OpenFile) -> Any:
  """A recording in a form that soundfile takes."""
  # Bytes, because soundfile refuses names that are not UTF-8.
  return os.fsencode(source) if isinstance(source, str) else _file(source)


def _file(source: str | bytes | OpenFile) -> Any:
  if isinstance(source, OpenFile):
    return source.reader()
  return io.BytesIO(source) if isinstance(source, bytes) else open(source, 'rb')


def _read(
  sound: soundfile.SoundFile, first: int, stop: int
) -> Iterator[np.ndarray]:
  """Yields blocks of mono samples from `first` to `stop`, or to the end."""
  place = 0
  if sound.seekable():
    place = sound.seek(first) if first else 0
  while place < stop:
    # Not `sound.blocks`: where the file ends early, it returns old memory.
    # What cannot be sought, as GSM 6.10, is read from the beginning.
    until = first if place < first else stop
    wanted = max(1, min(_BLOCK // sound.channels, until - place))
    block = sound.read(wanted, dtype='float32', always_2d=True)
    if place >= first:
      yield block.mean(axis=1)
    place += len(block)
    if len(block) < wanted:
      break


def _recordings(
  source: str | bytes | OpenFile,
) -> Iterator[str | bytes | OpenFile]:
  """Yields the source, or the content of each recording in it."""
  with _file(source) as file:
    starts = _starts(file)
    if not starts:
      yield source
      return
    for first, last in zip([0, *starts], [*starts, None], strict=True):
      file.seek(first)
      yield file.read(-1 if last is None else last - first)


def _starts(file: BinaryIO) -> list[int]:
  """Places in a FLAC or Ogg at which another recording begins."""
  kind = file.read(4)
  if kind == b'fLaC':
    return _flac_starts(file)
  return _ogg_starts(file) if kind == b'OggS' else []


def _flac_starts(file: BinaryIO) -> list[int]:
  starts, tail, place = [], b'', file.tell()
  while block := tail + file.read(_BLOCK):
    for head in (_FLAC, _LAST):
      found = block.find(head)
      while found >= 0:
        starts.append(place + found)
        found = block.find(head, found + 1)
    if len(block) == len(tail):
      break
    place += len(block) - len(_FLAC) + 1
    tail = block[1 - len(_FLAC) :]
  return sorted(starts)


def _ogg_starts(file: BinaryIO) -> list[int]:
  """Follows the pages; all first pages of a recording stand together."""
  starts, place, begun = [], 0, False
  while True:
    file.seek(place)
    header = file.read(_PAGE)
    if len(header) < _PAGE or not header.startswith(b'OggS'):
      return starts
    is_first = bool(header[5] & 2)
    if is_first and begun:
      starts.append(place)
    begun = not is_first
    place += _PAGE + header[26] + sum(file.read(header[26]))


def _is_whole(
  source: str | bytes | OpenFile, sound: soundfile.SoundFile
) -> bool:
  """Whether libsndfile reads all of the file, at the right speed.

  It believes the header of an MP3, or guesses the length from the first packet.
  """
  from avl_jax.features.ffmpeg import audio as ffmpeg_audio

  if sound.format not in _UNTRUSTED:
    return True
  try:
    seconds, kinds = ffmpeg_audio.packets(source)
  except MediaError:
    return True  # FFmpeg cannot read it either.
  length = sound.frames / sound.samplerate
  return kinds < 2 and abs(seconds - length) < _TOLERATED
