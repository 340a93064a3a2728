"""Adding text to a trained model, with few captions: Table 4.2 in miniature.

  python main.py --config=configs/stamps.py --workdir=runs/stamps
  python main.py --mode=compare --config=configs/low_resource.py

For Spanish, use configs/stamps.py:es and configs/low_resource.py:es.

The first command trains audio and video on narrated speech, without text. The
second fine-tunes that model on the human recordings of 12, 25, 50, 100 and 200
stamps of the `train` half, with audio only, with their captions only, and with
both fused. The new text term of the fused model is initially random (the
reading of the thesis that fits its zero-shot column) or zero.

The report shows R@10 over the number of captions, on the human recordings of
the `test` half among their pictures, without noise and with noise as loud as
the speech. No captions means zero-shot. There are three seeds. The checkpoint
of the last step is evaluated, so no score selects a checkpoint.

The text branch is not trained on any caption of the `test` half. The audio
branch was trained on those captions spoken by synthetic voices.
"""

import ml_collections

from configs import stamps

CAPTIONS = (
  12,
  25,
  50,
  100,
  200,
)  # nested: the first captions of the `train` half
LINES = {  # curve -> query of training and evaluation, scale of the text term
  'audio only': ('audio', 1.0),
  'text only': ('text', 1.0),
  'text+audio': ('audio_text', 1.0),
  'text+audio from zero': ('audio_text', 0.0),
}


def get_config(language: str = 'fr') -> ml_collections.ConfigDict:
  """Returns the config of a comparison: a run for each line and amount."""
  config = stamps.get_config(f'{language},fused')
  human = (f'stamps/human_{language}',)
  test = {'datasets': human, 'splits': ('test',), 'num_queries': 0}
  config.initial_workdir = stamps.workdir(language)
  config.best_metric = ''
  config.num_steps = 150
  config.prepare.datasets = human
  config.train_data.update(
    datasets=human, num_frames=256, distinct_groups=False
  )
  config.model.frozen_statistics = True
  config.optimizer.update(learning_rate=5e-4, warmup_steps=10)
  config.train.eval_every = config.num_steps
  config.eval_data.evaluations = ml_collections.ConfigDict()
  runs, curve = [], []
  for line, (query, scale) in LINES.items():
    for captions in (0, *CAPTIONS):
      name = f'{line.replace(" ", "-")}-{captions}'
      runs.append((name, _changes(query, scale, captions)))
      curve.append((name, line, captions))
  config.comparison.update(
    runs=tuple(runs),
    evaluations={
      'clean': test,
      'noisy': test | {'augmentation': {'signal_to_noise': (0.0, 0.0)}},
    },
    curve=tuple(curve),
    amount='captions',
  )
  return config


def _changes(query: str, scale: float, captions: int) -> dict:
  """Returns the keys of a run that differ from the common config."""
  changes = {
    'model': {'initial_text_scale': scale},
    'loss': {'pairs': ((query, 'video'),)},
    'eval': {'tasks': ((query, 'video'),)},
  }
  if not captions:
    return changes | {'num_steps': 0}
  data = {'split': f'train[:{captions}]', 'batch_size': min(captions, 64)}
  return changes | {'train_data': data}
