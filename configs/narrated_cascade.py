"""From one language's videos to those of another: Table 5.1 in miniature.

  python main.py --config=configs/narrated_videos.py
  python main.py --mode=compare --config=configs/narrated_cascade.py

The second command generates an hour of Spanish videos and trains on them, with
three seeds: from scratch, and from the first command's French model. It
evaluates all on clips of other videos, Spanish and French. Other languages:
narrated_cascade.py:fr+el. Expect 22 minutes on two cores, and R@10 of speech to
video of 358 Spanish clips (chance 2.8 %): 3.0 % from scratch, 14.9 % from
French, 5.3 % of the French model itself.

The Spanish videos for training are fewer than those of
configs/narrated_videos.py:es, and have the same name: that config needs another
--config.data_dir beside this one.
"""

import ml_collections

from configs import narrated_videos


def get_config(languages: str = 'fr+es') -> ml_collections.ConfigDict:
  """Returns the config of a comparison.

  Args:
    languages: that of the trained model, '+', and the one to train.

  Raises:
    ValueError: these are not two different languages, or one is unknown.
  """
  source, *others = languages.split('+')
  if len(others) != 1 or source in others:
    raise ValueError(
      f'The languages are {languages!r}. Expected two different ones joined by '
      '"+", such as fr+es.'
    )
  (target,) = others
  evaluations = narrated_videos.held_back(narrated_videos.get_config(source))
  config = narrated_videos.get_config(target)
  config.initial_workdir = narrated_videos.workdir(source)
  config.num_steps = 400
  config.train_data.clips_per_example = 4  # N = 32
  config.prepare.narrated.num_videos = (30, 3, 3)
  config.train.update(eval_every=100, save_every=100)
  config.comparison.update(
    runs=(
      (source, {'num_steps': 0}),
      (target, {'initial_workdir': ''}),
      (f'{source}-then-{target}', {}),
    ),
    evaluations={
      **narrated_videos.held_back(config),
      **{f'{source}_{name}': value for name, value in evaluations.items()},
    },
    side_by_side=(target, f'{source}-then-{target}'),
  )
  return config
