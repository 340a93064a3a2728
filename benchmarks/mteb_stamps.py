"""The same pictures and recordings ranked by mteb and by this program.

  pip install '.[mteb]'
  python main.py --config=configs/stamps.py --workdir=runs/stamps
  python -m benchmarks.mteb_stamps --workdir=runs/stamps

Makes two tasks of mteb's interface, recording to picture and back, of the
stamps that a volunteer describes, runs them with `avl_jax.mteb_encoder`, and
prints R@10 and nDCG@10 of mteb beside those of this program's ranks. They are
equal. The stamps are no task of the scoreboard.
"""

import argparse

import datasets
import mteb
import numpy as np
from datasets.table import InMemoryTable
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
from mteb.abstasks.task_metadata import TaskMetadata

from avl_jax import mteb_encoder, trained_model
from avl_jax.features import SAMPLE_RATE, flac
from avl_jax.retrieval import ranking
from input_pipeline.records.reader import Records

SPLITS = ('train', 'test', 'unseen_words')
CATEGORIES = {'a2i': ('audio', 'image'), 'i2a': ('image', 'audio')}
FACTS = {
  'description': 'Pictures of things and their names, spoken by a volunteer.',
  'reference': 'https://packages.debian.org/tuxpaint-stamps-default',
  'dataset': {'path': 'NA', 'revision': 'NA'},
  'type': 'Any2AnyRetrieval',
  'eval_splits': ['test'],
  'eval_langs': ['fra-Latn'],
  'main_score': 'ndcg_at_10',
  'date': ('2022-06-04', '2022-06-04'),
  'domains': ['Spoken'],
  'task_subtypes': [],
  'license': 'gpl-3.0',
  'annotations_creators': 'human-annotated',
  'dialect': [],
  'sample_creation': 'found',
  'bibtex_citation': '',
}


def make_task(category: str, sides: dict) -> AbsTaskRetrieval:
  """A task of queries and a gallery, in which i belongs to i."""
  query, gallery = (sides[name] for name in CATEGORIES[category])
  pairs = {i: {i: 1} for i in query['id']}

  class Stamps(AbsTaskRetrieval):
    metadata = TaskMetadata(
      name=f'Stamps{category.upper()}Retrieval',
      category=category,
      modalities=sorted(sides),
      **FACTS,
    )

    def load_data(self, num_proc=None, **options):
      del num_proc, options
      split = RetrievalSplitData(
        queries=query, corpus=gallery, relevant_docs=pairs, top_ranked=None
      )
      self.dataset, self.data_loaded = {'default': {'test': split}}, True

  return Stamps()


def make_dataset(name: str, items: list) -> datasets.Dataset:
  """Columns 'id' and `name`."""
  ids = [str(i) for i in range(len(items))]
  table = InMemoryTable.from_pydict({'id': ids, name: items})
  return datasets.Dataset(table, fingerprint=f'stamps_{name}')


def main() -> None:
  """Prints both numbers of each task."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--workdir', default='runs/stamps')
  parser.add_argument('--data_dir', default='')
  arguments = parser.parse_args()
  records = Records(('stamps/human_fr',), SPLITS, arguments.data_dir)
  examples = list(records.read(range(len(records))))
  pictures = [example['image'] for example in examples]
  waveforms = [flac.decode(example['audio']) for example in examples]
  sides = {
    'image': make_dataset(
      'image', [{'bytes': x, 'path': None} for x in pictures]
    ).cast_column('image', datasets.Image()),
    'audio': make_dataset(
      'audio', [{'array': x, 'sampling_rate': SAMPLE_RATE} for x in waveforms]
    ),
  }
  tasks = [make_task(category, sides) for category in CATEGORIES]
  model = mteb_encoder.MtebEncoder(arguments.workdir, 'local/avlnet-stamps')
  found = mteb.evaluate(model, tasks, cache=None, overwrite_strategy='always')
  ours = trained_model.embed(
    trained_model.load(arguments.workdir), audio=waveforms, image=pictures
  )
  vectors = {'audio': ours['audio'], 'image': ours['video']}
  print('task | R@10: mteb, here | nDCG@10: mteb, here')
  for result, names in zip(
    found.task_results, CATEGORIES.values(), strict=True
  ):
    (scores,) = result.scores['test']
    (better, *_), _ = ranking.rank_both_ways(*(vectors[x] for x in names))
    gains = np.where(better < 10, 1 / np.log2(better + 2), 0)
    print(
      f'{result.task_name} | {scores["recall_at_10"]:.5f}, '
      f'{np.mean(better < 10):.5f} | {scores["ndcg_at_10"]:.5f}, '
      f'{gains.mean():.5f}'
    )


if __name__ == '__main__':
  main()
