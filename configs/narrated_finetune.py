"""Fine-tuning on annotated clips, compared with zero-shot and from scratch.

  python main.py --config=configs/narrated_videos.py
  python main.py --mode=compare --config=configs/finetune.py:narrated_fr

The second command fine-tunes the first one's model, with three seeds, on the
142 annotated clips of ten videos. It compares the result with the initial model
and with training from scratch on the same clips: Table 3.2 in miniature, on
generated videos. Expect five minutes, and R@10 of speech to video on `test`
(349 clips, chance 2.9 %): 3.2 % from scratch, 40.4 % zero-shot, 39.0 %
fine-tuned. Other languages: configs/narrated_videos.py:es, then
configs/finetune.py:narrated_es.
"""

import ml_collections

from configs import narrated_videos


def get_config(language: str = 'fr') -> ml_collections.ConfigDict:
  """Returns the config of a comparison; see configs/narrated_videos.py."""
  config = narrated_videos.get_config(language)
  config.initial_workdir = narrated_videos.workdir(language)
  config.num_steps = 60
  config.train_data.update(
    datasets=(f'narrated_videos/clips_{language}',),
    split='train',
    batch_size=64,
    clips_per_example=0,  # They are clips.
  )
  config.optimizer.update(learning_rate=1e-4, warmup_steps=5)
  config.train.update(eval_every=20, save_every=20)
  evaluations = narrated_videos.held_back(config)
  scratch = {'initial_workdir': '', 'optimizer': {'learning_rate': 1e-3}}
  config.comparison.update(
    runs=(
      ('scratch', scratch),
      ('zero-shot', {'num_steps': 0}),
      ('fine-tuned', {}),
    ),
    evaluations=evaluations,
    side_by_side=('zero-shot', 'fine-tuned'),
  )
  return config
