"""AVLnet-Text-Tri on HowTo100M: the thesis' recipe (sections 4.1.2, 4.2).

  python main.py --config=configs/avlnet_text_tri.py --workdir=runs/tri

Data: HowTo100M as in configs/avlnet.py, with the ASR captions of its clips;
GoogleNews-vectors-negative300.bin (word2vec, 3.4 GB) in the working folder, or
--config.words.vectors=FILE. Neither is part of this program.

Expect R@10 of 44.3 (text to audio and video) and 65.3 (back), zero-shot on
YouCook2 (3,350 clips), as in the thesis' Table 4.1. The authors used four V100.
This program has not been run on HowTo100M.
"""

import ml_collections

from configs import avlnet

PAIRS = (('audio', 'video'), ('audio', 'text'), ('text', 'video'))  # eq. 4.2
ADDITIVE = (('text', 'audio+video'),)  # the release's fine-tuning
TASKS = (
  ('text', 'audio+video'),
  ('audio+video', 'text'),
  ('text', 'video'),
  ('video', 'text'),
  ('text', 'audio'),
  ('audio', 'text'),
  ('text+audio', 'video'),
  ('video', 'text+audio'),
)


def get_config() -> ml_collections.ConfigDict:
  """Returns the config of AVLnet, with a text branch of its own."""
  config = avlnet.get_config()
  config.recipe = 'tri'
  config.num_steps = 68_325  # 15 epochs of 1,166,089 // 256 = 4,555 steps
  config.words.vectors = 'GoogleNews-vectors-negative300.bin'
  # Windows of 8 s around ASR captions.
  config.train_data.update(batch_size=256, num_frames=800, min_time=8.0)
  config.model.update(embed_dim=6144, word_dim=300)
  config.loss.pairs = PAIRS
  config.optimizer.update(learning_rate=2.5e-4, decay_steps=4_555)
  config.train.eval_every = 4_555
  config.eval.tasks = TASKS
  return config
