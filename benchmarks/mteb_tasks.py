"""The scoreboard's tasks on made media, and the tasks of mteb's own tests.

  pip install '.[mteb]'    (and FFmpeg's libraries, for torchcodec)
  python -m benchmarks.mteb_tasks --workdir=runs/stamps

The classes of mteb run as they are. The data sets of YouCook2, MSR-VTT and
SpokenCOCO are replaced by a few videos, recordings and pictures of noise, with
the same columns and types. Of the tasks of mteb's tests (`mteb.mocks`), all are
run that mteb lets the model run. Prints R@10 and nDCG@10 of mteb beside those
of this program's ranks. They are equal, and say nothing else. (Of documents
that score the same, this program ranks the right one last, mteb anywhere.)
"""

import argparse
import contextlib
import io
import itertools
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import datasets
import mteb
import mteb.mocks
import numpy as np
import soundfile
from mteb.abstasks import AbsTask, AbsTaskRetrieval
from mteb.tasks.retrieval.eng import msr_vtt, youcook2_retrieval
from mteb.types import PromptType
from PIL import Image

from avl_jax import mteb_encoder
from avl_jax.retrieval import metrics
from benchmarks import prepare

DIRECTIONS = ('A2V', 'V2A', 'V2T', 'T2V', 'VA2T', 'T2VA', 'VT2A', 'AT2V')
SPOKEN_COCO = {
  'SpokenCOCOA2IRetrieval': ('audio', 'image'),
  'SpokenCOCOI2ARetrieval': ('image', 'audio'),
}
NAMES = (
  *(f'YouCook2{x}Retrieval' for x in DIRECTIONS),
  *(f'MSRVTT{x}' for x in DIRECTIONS),
  *SPOKEN_COCO,
)
RATE = 44_100
WORDS = ('egg', 'oil', 'salt', 'rice', 'fish', 'cut', 'fry', 'boil', 'peel')
CARD = '---\nconfigs:\n' + ''.join(  # Of a data set on disk: its parts.
  f'- config_name: {x}\n  data_files:\n  - split: test\n    path: {x}.parquet\n'
  for x in ('corpus', 'queries', 'qrels')
)
CARD += '---\n'


class Recorder(mteb_encoder.MtebEncoder):
  """Keeps the last embeddings of queries and of documents, as `kept`."""

  kept: dict[Any, np.ndarray]

  def encode(self, inputs: mteb_encoder.Inputs, **options: Any) -> np.ndarray:
    """See `MtebEncoder.encode`."""
    found = super().encode(inputs, **options)
    kept = getattr(self, 'kept', {})
    self.kept = {**kept, options.get('prompt_type'): found}
    return found


def make_examples(folder: pathlib.Path, count: int) -> datasets.Dataset:
  """Videos, recordings, pictures and captions, in the types of the data sets.

  Args:
    folder: where the videos are written; the rest is in the result.
    count: of examples, at most 36.

  Returns:
    Columns 'video', 'audio', 'image', 'sentence' and 'caption'.
  """
  columns: dict[str, list] = {name: [] for name in ('video', 'audio', 'image')}
  for seed in range(count):
    rng, path = np.random.default_rng(seed), folder / f'{seed}.mp4'
    prepare.make(path, 2, seed, height=72)
    columns['video'].append(str(path))
    waveform = rng.normal(0, 0.1, (2 * RATE, 2)) * np.geomspace(
      1, rng.uniform(1e-3, 1), 2 * RATE
    ).reshape(-1, 1)
    pixels = rng.integers(0, 256, (4, 4, 3), np.uint8).repeat(16, 0)
    columns['audio'].append(
      _file(soundfile.write, waveform, RATE, format='WAV')
    )
    save = Image.fromarray(pixels.repeat(16, 1)).save
    columns['image'].append(_file(save, format='PNG'))
  # Pairs, because the larger of many words' vectors is soon the same.
  captions = [' '.join(x) for x in itertools.combinations(WORDS, 2)][:count]
  types = {
    'video': datasets.Video(),
    'audio': datasets.Audio(),
    'image': datasets.Image(),
  }
  made = datasets.Dataset.from_dict(
    {**columns, 'sentence': captions, 'caption': captions}
  )
  for name, kind in types.items():
    made = made.cast_column(name, kind)
  return made


def _file(write: Any, *arguments: Any, **options: Any) -> dict:
  """A file as `datasets` keeps it, of what writes to an open file."""
  buffer = io.BytesIO()
  write(buffer, *arguments, **options)
  return {'bytes': buffer.getvalue(), 'path': None}


@contextlib.contextmanager
def replaced_data(
  examples: datasets.Dataset, folder: pathlib.Path
) -> Iterator[None]:
  """The tasks of `NAMES` load `examples`; `folder` gets those of SpokenCOCO."""
  ids = [str(i) for i in range(len(examples))]
  pairs = {'query-id': ids, 'corpus-id': ids, 'score': [1] * len(ids)}
  with contextlib.ExitStack() as stack:
    for module in (youcook2_retrieval, msr_vtt):
      load = mock.patch.object(module, 'load_dataset', return_value=examples)
      stack.enter_context(load)
    cache = str(folder / 'cache')
    stack.enter_context(
      mock.patch.object(datasets.config, 'HF_DATASETS_CACHE', cache)
    )
    for name, (query, document) in SPOKEN_COCO.items():
      (folder / name).mkdir()
      parts = {
        'queries': examples.select_columns(query).add_column('id', ids),
        'corpus': examples.select_columns(document).add_column('id', ids),
        'qrels': datasets.Dataset.from_dict(pairs),
      }
      for part, rows in parts.items():
        rows.to_parquet(str(folder / name / f'{part}.parquet'))
      (folder / name / 'README.md').write_text(CARD)
      (task,) = mteb.get_tasks(tasks=[name])
      path = {'path': str(folder / name)}
      stack.enter_context(mock.patch.dict(task.metadata.dataset, path))
    yield


def scores_here(
  queries: np.ndarray, documents: np.ndarray, partners: np.ndarray
) -> dict[str, float]:
  """R@10 and nDCG@10 of this program's ranks.

  Args:
    queries: float32 [n, D].
    documents: float32 [N, D].
    partners: int [n], index in N of the one document of each query.

  Returns:
    'recall_at_10' and 'ndcg_at_10', as mteb calls them.
  """
  ranks = metrics.ranks(*metrics.counts(queries @ documents.T, partners))
  gains = np.where(ranks < 10, 1 / np.log2(ranks + 2), 0)
  found = metrics.summary(ranks)
  return {'recall_at_10': found['R@10'], 'ndcg_at_10': float(gains.mean())}


def partners_of(split: Mapping[str, Any]) -> np.ndarray | None:
  """Indices [n] of the one document of each query; None: another task."""
  documents = list(split['corpus']['id'])
  rows = []
  for query in split['queries']['id']:
    right = [k for k, x in split['relevant_docs'][query].items() if x > 0]
    rows.append([documents.index(k) for k in right])
  if split['top_ranked'] or any(len(row) != 1 for row in rows):
    return None
  return np.concatenate(rows)


def _sides(task: AbsTask) -> list[list[str]]:
  """What a model must take one of, each time: mteb's rule."""
  modalities = task.metadata.get_modalities
  if isinstance(task, AbsTaskRetrieval):
    return [modalities(PromptType.query), modalities(PromptType.document)]
  return [[name] for name in modalities()]


def run(
  model: Recorder, tasks: Sequence[AbsTask]
) -> Iterator[tuple[str, dict | None, dict | None]]:
  """Evaluates the tasks that mteb lets the model run.

  Args:
    model: of mteb.
    tasks: of mteb.

  Yields:
    Name of the task, scores of mteb, and scores here; None, None where the task
    is no retrieval of one document among all.
  """
  takes = set(model.mteb_model_meta.modalities)
  for task in tasks:
    if not all(map(takes.intersection, _sides(task))):
      continue
    task.load_data()
    found = mteb.evaluate(model, task, cache=None, show_progress_bar=False)
    (result,) = found.task_results
    (split, subsets), *_ = result.scores.items()
    partners = None
    if isinstance(task, AbsTaskRetrieval) and len(subsets) == 1:
      partners = partners_of(task.dataset[subsets[0]['hf_subset']][split])
    if partners is None:
      yield task.metadata.name, None, None
      continue
    kept = model.kept[PromptType.query], model.kept[PromptType.document]
    yield task.metadata.name, subsets[0], scores_here(*kept, partners)


def main() -> None:
  """Prints a table of each kind of task."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--workdir', default='runs/stamps')
  parser.add_argument('--count', type=int, default=24)
  arguments = parser.parse_args()
  model = Recorder(arguments.workdir, 'local/model')
  print(f'The model takes {", ".join(model.mteb_model_meta.modalities)}.')
  mocks = [
    *mteb.mocks.ALL_MOCK_TASK_TEST_GRID,
    *mteb.mocks.MOCK_MULTIMODAL_TASKS,
  ]
  others = []
  print('task | R@10: mteb, here | nDCG@10: mteb, here')
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    examples = make_examples(folder, arguments.count)
    with replaced_data(examples, folder):
      tasks = [*mteb.get_tasks(tasks=list(NAMES)), *mocks]
      for task, theirs, ours in run(model, tasks):
        if theirs is None or ours is None:
          others.append(task)
          continue
        cells = [f'{theirs[k]:.5f}, {x:.5f}' for k, x in ours.items()]
        print(' | '.join([task, *cells]), flush=True)
  print(f'{len(others)} other tasks run: {", ".join(others)}.')


if __name__ == '__main__':
  main()
