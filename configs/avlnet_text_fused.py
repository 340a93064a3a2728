"""AVLnet-Text-Fused on HowTo100M: the thesis' recipe (sections 4.1.3, 4.2).

  python main.py --config=configs/avlnet_text_fused.py --workdir=runs/fused

Data: as in configs/avlnet_text_tri.py.

Expect R@10 of 64.4 (text and audio to video) and 65.5 (back), zero-shot on
YouCook2 (3,350 clips), as in the thesis' Table 4.1. The authors used two V100.
This program has not been run on HowTo100M.
"""

import ml_collections

from configs import avlnet

PAIRS = (('audio_text', 'video'),)  # eq. 4.4
TASKS = (('audio_text', 'video'), ('video', 'audio_text'))


def get_config() -> ml_collections.ConfigDict:
  """Returns the config of AVLnet, with text fused into audio."""
  config = avlnet.get_config()
  config.recipe = 'fused'
  config.num_steps = 273_300  # 15 epochs of 1,166,089 // 64 = 18,220 steps
  config.words.vectors = 'GoogleNews-vectors-negative300.bin'
  # Windows of 10 s around ASR captions.
  config.train_data.update(batch_size=64, min_time=10.0)
  config.model.update(word_dim=300, fused=True)
  config.loss.pairs = PAIRS
  config.optimizer.update(learning_rate=1e-4, decay_steps=18_220)
  config.train.eval_every = 18_220
  config.eval.tasks = TASKS
  return config
