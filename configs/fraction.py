r"""AVLnet on a share of HowTo100M's videos: the points of Figure 5-3.

  python main.py --config=configs/fraction.py:10
  python main.py --config=configs/finetune.py:youcook2,10%          (fine-tuned)
  python main.py --config=configs/finetune.py:youcook_japanese,10%

Shares in percent: 2 4 6 8 10 20 40 60 80 100; each contains the smaller ones.
Data as in configs/avlnet.py, and to evaluate on the clips of YouCook2 and
YouCook-Japanese: in the same folder, or made before,
  python main.py --mode=prepare \
    --config=configs/zero_shot.py:avlnet,youcook2+youcook_japanese \
    --config.prepare.media_dir=FOLDER
The thesis draws its results and prints those of 100 % alone (R@10 on YouCook2
61.5, zero-shot); that it trained for 30 epochs whatever the share is an
assumption. Not run by this program.
"""

import ml_collections

from configs import avlnet, zero_shot

SHARES = (2, 4, 6, 8, 10, 20, 40, 60, 80, 100)


def get_config(share: str = '10') -> ml_collections.ConfigDict:
  """The pre-training on `share` percent."""
  if share not in map(str, SHARES):
    raise ValueError(f'expected one of {", ".join(map(str, SHARES))}')
  config = avlnet.get_config()
  config.recipe = 'avlnet' if share == '100' else f'avlnet/{share}%'
  epoch = 1_166_089 * int(share) // 100 // 128  # steps
  config.num_steps = 30 * epoch
  config.train_data.split = f'train[:{share}%]'
  config.optimizer.decay_steps = epoch
  config.train.eval_every = epoch
  names = ('youcook2', 'youcook_japanese')
  # First: what is missing of them is said before days of HowTo100M.
  config.prepare.datasets = (
    *(f'clips/{name}' for name in names),
    *config.prepare.datasets,
  )
  config.eval_data.evaluations.update(zero_shot.evaluations(*names))
  return config
