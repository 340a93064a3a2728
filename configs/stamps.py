"""AVLnet on Tux Paint stamps: pictures and spoken descriptions, on a laptop.

  python main.py --config=configs/stamps.py               (French)
  python main.py --config=configs/stamps.py:es            (Spanish)
  python main.py --config=configs/stamps.py:fr+es         (both together)

Languages: fr ro ru ca bg es be el. Everything is fetched and made by the
command: the stamps (161 MB, Debian package), their captions spoken by
espeak-ng, features by EfficientNet-Lite0, which stands in for ResNet-152.

Expect for French, on two cores: two minutes of preparing, twelve of training,
2.2 GB of memory. R@10 of speech to picture among 470 (chance 2.1 %): voices
never heard 96.9 %; human recordings, none of which was ever heard, 63.4 %;
words never heard 4.3 %. The best checkpoint is chosen on the narrated
validation of the first language.
"""

import ml_collections

from configs import avlnet


def get_config(languages: str = 'fr') -> ml_collections.ConfigDict:
  """Trains on narrated speech; no score on human recordings chooses."""
  languages = languages.split('+')
  narrated = tuple(f'stamps/narrated_{language}' for language in languages)
  human = tuple(f'stamps/human_{language}' for language in languages)
  config = avlnet.get_config()
  # 24 epochs of 4,250 narrations // 128 = 33 steps, for each language.
  config.num_steps = 800 * len(languages)
  config.prepare.datasets = narrated + human
  config.train_data.update(
    datasets=narrated,
    batch_size=128,
    clips_per_example=0,
    num_frames=192,  # 1.92 s; longer narrations are cropped
    distinct_groups=True,
    augmentation={
      'speed': (0.85, 1.2),
      'silence': (0.0, 0.25),
      'equaliser': 4.0,
      'reverberation_share': 0.5,
      'signal_to_noise': (5.0, 40.0),
      'frequency_masks': 1,
      'time_masks': 1,
    },
  )
  config.model.update(
    embed_dim=512,
    widths=(32, 32, 64, 128, 256),
    pooling='masked',
    dtype='float32',
  )
  config.optimizer.update(schedule='cosine', warmup_steps=50)
  config.train.update(log_every=10, eval_every=100)
  for i, language in enumerate(languages):
    config.eval_data.evaluations.update(
      {
        f'narrated_{language}': {
          'datasets': narrated[i : i + 1],
          'splits': ('validation', 'unseen_words'),
          'num_queries': 0,
        },
        f'human_{language}': {
          'datasets': human[i : i + 1],
          'splits': ('train', 'test', 'unseen_words'),
          'num_queries': 0,
        },
      }
    )
  config.eval_data.num_frames = 512
  config.best_metric = f'narrated_{languages[0]}/validation/audio_to_video/R@10'
  return config


def workdir(languages: str) -> str:
  """Where the commands above keep the run of these languages."""
  return 'runs/stamps' if languages == 'fr' else f'runs/stamps_{languages}'
