"""Speech against natural sounds, of the same stamps: the thesis' Table 3.4.

  python main.py --config=configs/stamps.py --workdir=runs/stamps
  python main.py --mode=compare --config=configs/sounds.py

Stamps that have both a description spoken by a person and a sound of their
own (a cow's moo, an engine), one of each: two galleries of one size, for the
model of the first command, which has heard neither people nor sounds. Expect
R@10 (of 93, chance 10.8 %) of 74.2 % for speech and 8.6 % for sounds.
"""

import ml_collections

from configs import stamps


def get_config(language: str = 'fr') -> ml_collections.ConfigDict:
  """The model of configs/stamps.py:LANGUAGE, trained no further."""
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
