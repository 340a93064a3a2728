"""R@10 through an index: a volunteer names things, generated videos show them.

  python -m benchmarks.search_generated INDEX STAMPS

INDEX is an index of generated videos (configs/narrated_videos.py) whose truth,
VIDEO.json, lies beside each VIDEO.mp4; STAMPS is the folder of the stamps, or
of their unpacked package. Each thing that is shown is asked once, by the
volunteer's recording of its name. An answer is right if its window has a second
or more of the thing, large. Chance is that of ten windows drawn blindly. A
hundred recordings of other things count how often "Nothing fits" is said.
"""

import json
import math
import pathlib
import sys

import numpy as np
import tqdm

import avl_jax
from avl_jax.search.query.answers import Answer
from avl_jax.search.query.searcher import Searcher
from avl_jax.search.store.entries import Window
from input_pipeline.datasets.stamps import tuxpaint

COUNT = 10  # answers
ABSENT = 100  # questions about things that are in no video, at most
SHOWN = 1.0  # second of a thing that makes a window right
Times = dict[str, dict[str, list[tuple[float, float]]]]  # thing -> path -> ...


def read_truth(searcher: Searcher) -> tuple[str, Times]:
  """The language of the videos, and when each large thing is shown in each."""
  assert searcher.media_dir is not None
  language, times = '', Times()
  for file in searcher.index.files():
    notes = (searcher.media_dir / file.path).with_suffix('.json')
    truth = json.loads(notes.read_bytes())
    language = truth['language']
    for showing in truth['showings']:
      if not showing['clutter']:
        where = times.setdefault(showing['thing'], {})
        where.setdefault(file.path, []).append(
          (showing['start'], showing['end'])
        )
  return language, times


def is_right(
  window: Window | Answer, where: dict[str, list[tuple[float, float]]]
) -> bool:
  """Whether a window shows a thing for `SHOWN` seconds or more."""
  return any(
    min(window.end, end) - max(window.start, start) >= SHOWN
    for start, end in where.get(window.path, ())
  )


def chance(right: int, windows: int) -> float:
  """Probability that `COUNT` windows drawn blindly have a right one."""
  drawn = min(COUNT, windows)
  return 1 - math.comb(windows - right, drawn) / math.comb(windows, drawn)


def main() -> None:
  """Asks all things, and prints the recalls."""
  index, stamps = sys.argv[1], tuxpaint.read_stamps(pathlib.Path(sys.argv[2]))
  ranks, by_chance, fits = [], [], []
  with avl_jax.load_index(index) as searcher:
    language, times = read_truth(searcher)
    windows = [
      searcher.index.window(row) for row in searcher.index.rows_with('video')
    ]
    recorded = [stamp for stamp in stamps if language in stamp.recordings]
    asked = [stamp for stamp in recorded if stamp.name in times]
    absent = [stamp for stamp in recorded if stamp.name not in times][:ABSENT]
    for stamp in tqdm.tqdm(asked, 'questions'):
      where = times[stamp.name]
      answers = searcher.search(stamp.recordings[language], count=COUNT)
      right = [
        i for i, item in enumerate(answers.items) if is_right(item, where)
      ]
      ranks.append(right[0] if right else math.inf)
      fits.append(not answers.nothing_fits)
      by_chance.append(
        chance(sum(is_right(window, where) for window in windows), len(windows))
      )
    refused = [
      searcher.search(stamp.recordings[language]).nothing_fits
      for stamp in tqdm.tqdm(absent, 'things that are in no video')
    ]
  found, fits = np.array(ranks), np.array(fits)
  print(
    f'{len(ranks)} questions to {len(windows):,} windows of '
    f'{len(searcher.index.files())} videos: the first answer is right for '
    f'{100 * np.mean(found < 1):.1f} %, one of {COUNT} for '
    f'{100 * np.mean(found < COUNT):.1f} % (chance '
    f'{100 * np.mean(by_chance):.1f} %). '
    f'{100 * np.mean(fits):.0f} % have an answer that fits.'
  )
  lost = {
    n: f'{(~fits & (found < n)).sum()} of {(found < n).sum()}'
    for n in (1, COUNT)
  }
  print(
    f'"Nothing fits" is said of {sum(refused)} of {len(refused)} questions '
    f'about things that are in no video, and above {lost[1]} right first '
    f'answers ({lost[COUNT]} with a right one among {COUNT}).'
  )


if __name__ == '__main__':
  main()
