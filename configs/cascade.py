"""Cascade of languages: one model is the start of another (thesis, chapter 5).

  python main.py --config=configs/stamps.py --workdir=runs/stamps
  python main.py --mode=compare --config=configs/cascade.py

The second command trains on narrated Spanish and on narrated Greek, each once
from scratch and once from the first command's French model, with the same
number of steps. It evaluates every model on human recordings of all three
languages: the cross matrix of Table 5.1 in miniature. No model is trained on
human recordings. A fifth run trains the Spanish audio beside the French model's
video branch, which stays as it is (`train.frozen`): what it costs to share a
search index.

Expect a faster start from the French model: after 100 steps, R@10 of unseen
synthetic voices in Spanish is 76 % instead of 8 %. After 400 steps the
difference is within the intervals; a frozen video branch costs fourteen points.
The five runs take half an hour on two cores.
"""

import ml_collections

from configs import stamps


def get_config(languages: str = 'fr+es+el') -> ml_collections.ConfigDict:
  """Returns the config of a cascade.

  Args:
    languages: joined by '+': the language of the trained model, then those to
      train.

  Raises:
    ValueError: there is no language to train.
  """
  source, *targets = languages.split('+')
  if not targets:
    raise ValueError(
      f'There is no language to train in {languages!r}. Join at least two '
      'with "+", such as fr+es.'
    )
  config = stamps.get_config('+'.join(targets))
  config.initial_workdir = stamps.workdir(source)
  config.num_steps = 400  # half of the steps of configs/stamps.py
  config.prepare.datasets += (f'stamps/human_{source}',)
  runs = [(source, {'num_steps': 0})]
  for target in targets:
    metric = f'narrated_{target}/validation/audio_to_video/R@10'
    learn = {
      'best_metric': metric,
      'train_data': {'datasets': (f'stamps/narrated_{target}',)},
    }
    runs.append((target, learn | {'initial_workdir': ''}))
    runs.append((f'{source}-then-{target}', learn))
    if target == targets[0]:  # It can query the search index of the first run.
      frozen = learn | {'train': {'frozen': ('video',)}}
      runs.append((f'{source}-then-{target}-frozen', frozen))
  config.comparison.update(
    runs=tuple(runs),
    seeds=(1,),
    evaluations={
      f'human_{language}': {
        'datasets': (f'stamps/human_{language}',),
        'splits': ('test',),
        'num_queries': 0,
      }
      for language in (source, *targets)
    },
    side_by_side=(targets[0], f'{source}-then-{targets[0]}'),
  )
  return config
