r"""AVLnet on a share of HowTo100M's videos: the points of Figure 5-3.

  python main.py --config=configs/fraction.py:10
  python main.py --config=configs/finetune.py:youcook2,10%          (fine-tuned)
  python main.py --config=configs/finetune.py:youcook_japanese,10%

Shares in percent: 2 4 6 8 10 20 40 60 80 100; each contains the smaller ones.

Data: as in configs/avlnet.py. The evaluation needs the clips of YouCook2 and
YouCook-Japanese, in the same folder or prepared before:
  python main.py --mode=prepare \
    --config=configs/zero_shot.py:avlnet,youcook2+youcook_japanese \
    --config.prepare.media_dir=FOLDER

Expect R@10 of 61.5 on YouCook2, zero-shot, for 100 %; the thesis plots the
other results without printing them. Assumption: 30 epochs for each share. This
program has not run these configs.
"""

import ml_collections

from configs import avlnet, zero_shot

SHARES = (2, 4, 6, 8, 10, 20, 40, 60, 80, 100)


def get_config(share: str = '10') -> ml_collections.ConfigDict:
  """Returns the config of a training on `share` percent of the videos."""
  if share not in map(str, SHARES):
    raise ValueError(
      f'Unknown share {share!r}. Choose one of {", ".join(map(str, SHARES))}.'
    )
  config = avlnet.get_config()
  config.recipe = 'avlnet' if share == '100' else f'avlnet/{share}%'
  epoch = 1_166_089 * int(share) // 100 // 128  # steps
  config.num_steps = 30 * epoch
  config.train_data.split = f'train[:{share}%]'
  config.optimizer.decay_steps = epoch
  config.train.eval_every = epoch
  zero_shot.evaluate_on(config, 'youcook2', 'youcook_japanese')
  return config
