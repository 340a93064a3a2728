r"""Images and spoken captions: Places Audio (thesis, sections 3.3 and 5.2).

  python main.py --config=configs/places.py:ja            (frozen encoder)
  python main.py --config=configs/places.py:en,trainable  (trained encoder)
  python main.py --config=configs/places.py:hi,scratch    (no HowTo100M)

Languages: en ja hi. The initial variables are those of AVLnet on HowTo100M with
2-D features only (configs/avlnet_2d.py), in --config.initial_workdir (default
runs/avlnet_2d); 'scratch', of ja and hi, has random ones. The image encoder is
a ResNet-152, initially torchvision's of ImageNet (resnet152-b121ed2d.pth,
--config.image_weights=FILE).

Data: PlacesAudio_400k_distro, PlacesAudioJpn_100k or PlacesHindi100k, and the
images of Places205, in the folder --config.prepare.media_dir (see
input_pipeline/datasets/spoken_captions/builder.py). They belong to their owners
and are not part of this program, which has only been run on synthetic files of
their formats. Assumption: Hindi's `dev` is the evaluation set of the thesis.

Expect R@1/5/10 among 1,000 (caption to image; image to caption; Tables 3.1,
5.2 and 5.3; chance .1/.5/1.0):

                 frozen                           trainable
  en  37.3/71.6/82.3; 36.5/71.3/82.8  44.8/79.9/86.4; 42.8/76.2/84.8
  ja  23.5/57.3/70.4; 24.3/56.6/70.0  20.8/50.9/64.9; 20.9/49.5/63.5
  hi  15.2/38.9/51.1; 17.0/39.8/51.5  12.1/30.9/44.1; 11.9/30.8/41.7
                 scratch
  ja  20.7/48.8/63.6; 16.8/44.9/58.8
  hi   9.2/26.0/35.7;  8.7/23.6/33.5

The thesis prints the learning rates and the 20 s. All else is assumed: 30
epochs with batches of 256 at a constant rate; masked pooling; BatchNorm's
statistics of the batch; crops like DAVEnet's, whose procedure the thesis names;
a frozen encoder in 'scratch', as in the rows above it. The thesis does not say
how long training took.
"""

import ml_collections

from configs import avlnet

CAPTIONS = {
  'en': 400_000,
  'ja': 100_000,
  'hi': 100_000,
}  # training examples, about
REGIMES = ('', 'trainable', 'scratch')
ARGUMENTS = tuple(
  f'{language},{regime}' if regime else language
  for language in CAPTIONS
  for regime in REGIMES
  if (language, regime) != ('en', 'scratch')  # not in the thesis
)


def get_config(argument: str = 'en') -> ml_collections.ConfigDict:
  """Returns the config of 'LANGUAGE' or 'LANGUAGE,REGIME'; see `REGIMES`."""
  if argument not in ARGUMENTS:
    raise ValueError(
      f'Unknown argument {argument!r}. Choose one of {"; ".join(ARGUMENTS)}.'
    )
  language, _, regime = argument.partition(',')
  dataset = f'spoken_captions/places_{language}'
  epoch = CAPTIONS[language] // 256  # steps
  config = avlnet.get_config()
  config.recipe = {
    '': f'places/{language}/frozen',
    'trainable': f'places/{language}',
    'scratch': f'scratch/places_{language}',
  }[regime]
  config.image_weights = 'resnet152-b121ed2d.pth'
  config.initial_workdir = '' if regime == 'scratch' else 'runs/avlnet_2d'
  config.num_steps = 30 * epoch
  config.prepare.datasets = (dataset,)
  config.train_data.update(
    datasets=(dataset,),
    batch_size=256,
    clips_per_example=0,
    num_frames=2_000,  # 20 s
    streams=('image',),
  )
  config.model.update(
    pooling='masked',
    image_blocks=(3, 8, 36, 3),
    frozen_image=regime != 'trainable',
  )
  config.optimizer.update(
    learning_rate=1e-4 if regime == 'trainable' else 1e-3,
    decay_rate=1.0,
    decay_steps=epoch,
  )
  config.train.eval_every = epoch
  config.eval_data.update(num_frames=2_000, streams=('image',))
  config.eval_data.evaluations[f'places_{language}'] = {
    'datasets': (dataset,),
    'splits': ('val',),
    'num_queries': 0,
  }
  return config
