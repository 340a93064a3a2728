"""AVLnet on HowTo100M with 2-D features only: the initial model of Places.

  python main.py --config=configs/avlnet_2d.py

A model of 2-D features, which are features of single images, can be trained
further on images (thesis, sections 3.3.2 and 5.2), as configs/places.py does.

Data: as in configs/avlnet.py. The 3-D features must exist but are not used.

The thesis prints no result of this run, only of the same model in its ablations
(configs/ablation.py:2d). Assumption: it was otherwise trained like AVLnet. This
program has not run this config.
"""

import ml_collections

from configs import avlnet


def get_config() -> ml_collections.ConfigDict:
  """Returns the config of AVLnet, with 2-D features only."""
  config = avlnet.get_config()
  config.train_data.streams = config.eval_data.streams = ('visual_2d',)
  return config
