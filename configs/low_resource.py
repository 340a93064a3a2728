"""Learning text late, from few captions: Table 4.2 of the thesis in miniature.

  python main.py --config=configs/stamps.py --workdir=runs/stamps
  python main.py --mode=compare --config=configs/low_resource.py

and likewise, for Spanish, configs/stamps.py:es and configs/low_resource.py:es.

The first command trains audio and video on narrated speech, without text. The
second starts from that model and fine-tunes it on the human recordings of
12, 25, 50, 100 and 200 stamps of the `train` half, by audio only, by their
captions only, and by both fused, where the new text term begins at random (the
reading of the thesis that fits its zero-shot column) or at zero. Its report
has R@10 over the number of captions, on the human recordings of the `test`
half, among their pictures, clean and with noise as loud as the speech; no
caption at all is zero-shot. Three seeds; the last step counts, so that nothing
is chosen by a score.

The text branch reads no caption of the `test` half in training; the audio
branch has heard those captions, spoken by synthetic voices.
"""

import ml_collections

from configs import stamps

CAPTIONS = (12, 25, 50, 100, 200)  # nested: the first of the `train` half
LINES = {  # curve -> what is trained and asked, how the text term begins
  'audio only': ('audio', 1.0),
  'text only': ('text', 1.0),
  'text+audio': ('audio_text', 1.0),
  'text+audio from zero': ('audio_text', 0.0),
}


def get_config(language: str = 'fr') -> ml_collections.ConfigDict:
  """Runs by what they hear and read, and by how many captions they get."""
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
  """Where a run differs from the others."""
  changes = {
    'model': {'initial_text_scale': scale},
    'loss': {'pairs': ((query, 'video'),)},
    'eval': {'tasks': ((query, 'video'),)},
  }
  if not captions:
    return changes | {'num_steps': 0}
  data = {'split': f'train[:{captions}]', 'batch_size': min(captions, 64)}
  return changes | {'train_data': data}
