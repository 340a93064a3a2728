"""AVLnet on Tux Paint stamps: pictures and spoken descriptions, on a laptop.

  python main.py --config=configs/stamps.py               (French)
  python main.py --config=configs/stamps.py:es            (Spanish)
  python main.py --config=configs/stamps.py:fr+es         (both languages)
  python main.py --config=configs/stamps.py:fr,tri        (separate text)
  python main.py --config=configs/stamps.py:es,fused      (fused text)

Languages: fr ro ru ca bg es be el. The command downloads the stamps (161 MB,
Debian package), narrates their captions with espeak-ng, and extracts features
with EfficientNet-Lite0, which stands in for ResNet-152.

Expect for French, on two cores: two minutes of preparation, twelve of training,
2.2 GB of memory. R@10 of speech to picture among 470 (chance 2.1 %): 98.8 % for
unseen synthetic voices, 64.0 % for human recordings, 6.4 % for unseen words. No
human recording is used in training. The checkpoint is selected on the narrated
validation split of the first language.

Models with text (`tri` is AVLnet-Text-Tri, `fused` AVLnet-Text-Fused) also
read the captions, word by word, through a packaged multilingual sentence
encoder, which stands in for GoogleNews' word2vec and covers these languages.
The narrations speak the captions, so all texts but those of `unseen_words` are
seen in training; configs/low_resource.py keeps those of the test half unseen.
"""

import ml_collections

from configs import avlnet, avlnet_text_fused, avlnet_text_tri

LANGUAGES = ('fr', 'ro', 'ru', 'ca', 'bg', 'es', 'be', 'el')
TEXT = {'tri': avlnet_text_tri, 'fused': avlnet_text_fused}


def get_config(argument: str = 'fr') -> ml_collections.ConfigDict:
  """Returns the config of a training on narrated speech.

  Args:
    argument: 'LANGUAGES' or 'LANGUAGES,MODEL': languages joined by '+', model
      'tri' or 'fused'.

  Raises:
    ValueError: a language or the model is unknown.
  """
  names, _, text = argument.partition(',')
  languages = names.split('+')
  for language in languages:
    if language not in LANGUAGES:
      raise ValueError(
        f'Unknown language {language!r}. Choose one of {", ".join(LANGUAGES)}.'
      )
  narrated = tuple(f'stamps/narrated_{language}' for language in languages)
  human = tuple(f'stamps/human_{language}' for language in languages)
  config = avlnet.get_config()
  # In French 24 epochs of 4,230 narrations // 128 = 33 steps.
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
  avlnet.use_small_model(config)
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
  if text:
    read_captions(config, text)
  query, gallery = config.eval.tasks[0]
  config.best_metric = (
    f'narrated_{languages[0]}/validation/{query}_to_{gallery}/R@10'
  )
  return config


def workdir(languages: str) -> str:
  """Returns the default workdir of the run of these languages."""
  return 'runs/stamps' if languages == 'fr' else f'runs/stamps_{languages}'


def read_captions(config: ml_collections.ConfigDict, text: str) -> None:
  """Adds text to the model, the batches, the loss and the evaluation."""
  if text not in TEXT:
    raise ValueError(
      f'Unknown model {text!r}. Choose one of {", ".join(TEXT)}.'
    )
  config.words.vectors = 'sentence_encoder'
  config.model.update(word_dim=512, fused=text == 'fused')
  config.loss.pairs = TEXT[text].PAIRS
  config.eval.tasks = TEXT[text].TASKS
