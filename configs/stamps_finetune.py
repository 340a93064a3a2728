"""Fine-tuning from narrated to human speech, compared with zero-shot.

  python main.py --config=configs/stamps.py --workdir=runs/stamps
  python main.py --mode=compare --config=configs/finetune.py:stamps_fr

The second command fine-tunes the first one's model, with three seeds, on human
recordings of the training captions mixed with some narrated speech. It compares
the result with the initial model and with training from scratch: the thesis'
Table 3.2 in miniature. For Spanish, use configs/stamps.py:es, then
configs/finetune.py:stamps_es.

The recordings of the test captions are evaluated once, at the end. The
checkpoint is selected on a fifth of the training captions, which is held out.

Expect, R@10 of speech to picture: French zero-shot 80.8 %, fine-tuned 89.9 %
(of 198, chance 5.1 %); Spanish 35.2 % and 86.0 % (of 193, chance 5.2 %).
"""

import ml_collections

from configs import stamps


def get_config(language: str = 'fr') -> ml_collections.ConfigDict:
  """Returns the config of a comparison; `language` as in configs/stamps.py."""
  human, narrated = f'stamps/human_{language}', f'stamps/narrated_{language}'
  config = stamps.get_config(language)
  config.initial_workdir = stamps.workdir(language)
  # 4 epochs, in French of (8 x 180 human + 3,384 narrated) // 128 = 37 steps.
  config.num_steps = 148
  config.train_data.update(
    datasets=(human,) * 8 + (narrated,), split='train[:80%]'
  )
  config.optimizer.update(learning_rate=5e-4, warmup_steps=10)
  config.train.eval_every = 37
  config.eval_data.evaluations = ml_collections.ConfigDict(
    {
      'human': {
        'datasets': (human,),
        'splits': ('train[80%:]', 'train[:80%]'),
        'num_queries': 0,
      }
    }
  )
  config.best_metric = 'human/train[80%:]/audio_to_video/R@10'
  scratch = {'initial_workdir': '', 'optimizer': {'learning_rate': 1e-3}}
  # 180 recordings do not fill larger batches of distinct captions.
  target_only = {'train_data': {'datasets': (human,), 'batch_size': 64}}
  config.comparison.update(
    runs=(
      ('target-only', scratch | target_only),
      ('scratch', scratch),
      ('zero-shot', {'num_steps': 0}),
      ('fine-tuned', {}),
    ),
    evaluations={
      f'human_{language}': {
        'datasets': (human,),
        'splits': ('test',),
        'num_queries': 0,
      }
    },
    side_by_side=('zero-shot', 'fine-tuned'),
  )
  return config
