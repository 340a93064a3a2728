"""Speech and natural sounds of the same stamps as queries: thesis' Table 3.4.

  python main.py --config=configs/stamps.py --workdir=runs/stamps
  python main.py --mode=compare --config=configs/sounds.py

The second command evaluates the first one's model, which was trained on neither
human recordings nor sounds. The gallery is the stamps that have both a
description spoken by a person and a sound of their own (a cow's moo, an
engine); each has one recording of either kind, so both galleries have one size.

Expect R@10 of 78.5 % for speech and 6.5 % for sounds (of 93, chance 10.8 %).
"""

import ml_collections

from configs import stamps


def get_config(language: str = 'fr') -> ml_collections.ConfigDict:
  """Returns the evaluation of the model of configs/stamps.py:LANGUAGE."""
  config = stamps.get_config(language)
  config.initial_workdir = stamps.workdir(language)
  speech = {
    'datasets': (f'stamps/human_{language}',),
    'splits': ('train', 'test', 'unseen_words'),
  }
  sounds = {'datasets': ('stamps/sounds',), 'splits': ('test',)}
  config.prepare.datasets = speech['datasets'] + sounds['datasets']
  config.comparison.update(
    runs=(('zero-shot', {'num_steps': 0}),),
    evaluations={
      'speech': speech | {'num_queries': 0, 'groups_of': sounds},
      'sounds': sounds | {'num_queries': 0, 'groups_of': speech},
    },
  )
  return config
