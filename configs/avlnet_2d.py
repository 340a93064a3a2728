"""AVLnet on HowTo100M with the 2-D features alone: where Places begins.

  python main.py --config=configs/avlnet_2d.py

What sees one image's features can go on with images (thesis, sections 3.3.2 and
5.2): configs/places.py does. Data as in configs/avlnet.py; the 3-D features
must be there and are not looked at. The thesis prints no number of this run,
but those of the same in the setting of its ablations, configs/ablation.py:2d;
that it was trained as AVLnet otherwise is an assumption. Not run by this
program.
"""

import ml_collections

from configs import avlnet


def get_config() -> ml_collections.ConfigDict:
  """Where it differs from AVLnet."""
  config = avlnet.get_config()
  config.train_data.streams = config.eval_data.streams = ('visual_2d',)
  return config
