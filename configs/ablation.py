r"""Rows of the thesis' Table 3.3 on HowTo100M: 15 epochs of 64 videos.

  python main.py --config=configs/ablation.py:base
  python main.py --config=configs/ablation.py:20s

Rows: base (gating, MMS, clips of 10 s cut anywhere), 2d (no 3-D features), asr
(clips around ASR captions), 2.5s, 5s and 20s (length of the clips).

Data: as in configs/avlnet.py; asr also needs the ASR captions. The evaluation
needs the clips of YouCook2 and CrossTask, see configs/fraction.py.

Expect R@10, audio to video, zero-shot on YouCook2 and CrossTask: base 54.3 and
33.0; 2d 51.6 and 32.6; asr 57.6 and 34.6; 2.5s 23.1 and 20.6; 5s 41.2 and 30.2;
20s 40.9 and 24.5. To fine-tune: configs/finetune.py:youcook2,ROW.

Assumption, since the thesis does not say: the learning rate is that of the full
recipe, at half of its batch size. This program has not run these
configs, and the thesis does not say how long they took.
"""

import ml_collections

from configs import avlnet, zero_shot

# Frames of a clip. The release counts whole seconds, so clips of 2.5 s have
# visual features of 2 s.
NUM_FRAMES = {
  **dict.fromkeys(('base', '2d', 'asr'), 1000),
  **{'2.5s': 250, '5s': 500, '20s': 2000},
}


def get_config(row: str = 'base') -> ml_collections.ConfigDict:
  """Returns the config of a row's training."""
  if row not in NUM_FRAMES:
    raise ValueError(
      f'Unknown row {row!r}. Choose one of {", ".join(NUM_FRAMES)}.'
    )
  config = avlnet.get_config()
  config.recipe = f'ablation/{row}'
  epoch = 18_220  # 1,166,089 // 64 steps
  config.num_steps = 15 * epoch
  config.train_data.batch_size = 64
  config.train_data.num_frames = NUM_FRAMES[row]
  if row == 'asr':
    config.train_data.min_time = 10.0
  if row == '2d':
    config.train_data.streams = config.eval_data.streams = ('visual_2d',)
  config.optimizer.decay_steps = epoch
  config.train.eval_every = epoch
  names = ('youcook2', 'crosstask')
  # First, so that missing clips are reported before days of HowTo100M.
  config.prepare.datasets = (
    *(f'clips/{name}' for name in names),
    *config.prepare.datasets,
  )
  config.eval_data.evaluations.update(zero_shot.evaluations(*names))
  return config
