"""AVLnet on Tux Paint stamps: pictures and spoken descriptions, on a laptop.

  python main.py --config=configs/stamps.py               (French)
  python main.py --config=configs/stamps.py:es            (Spanish)
  python main.py --config=configs/stamps.py:fr+es         (both together)
  python main.py --config=configs/stamps.py:fr,tri        (with text, apart)
  python main.py --config=configs/stamps.py:es,fused      (with text, fused)

Languages: fr ro ru ca bg es be el. Everything is fetched and made by the
command: the stamps (161 MB, Debian package), their captions spoken by
espeak-ng, features by EfficientNet-Lite0, which stands in for ResNet-152.

Expect for French, on two cores: two minutes of preparing, twelve of training,
2.2 GB of memory. R@10 of speech to picture among 470 (chance 2.1 %): voices
never heard 96.9 %; human recordings, none of which was ever heard, 63.4 %;
words never heard 4.3 %. The best checkpoint is chosen on the narrated
validation of the first language.

With text (`tri` is AVLnet-Text-Tri, `fused` AVLnet-Text-Fused) the captions
are read too, word by word through a packaged multilingual sentence encoder,
which stands in for GoogleNews' word2vec and knows other languages. Narration
speaks the captions, so that all texts but those of `unseen_words` are seen in
training; configs/low_resource.py keeps the test half's unseen.
"""

import ml_collections

from configs import avlnet, avlnet_text_fused, avlnet_text_tri

TEXT = {'tri': avlnet_text_tri, 'fused': avlnet_text_fused}


def get_config(argument: str = 'fr') -> ml_collections.ConfigDict:
  """Trains on narrated speech; no score on human recordings chooses.

  Args:
    argument: 'LANGUAGES' or 'LANGUAGES,MODEL': languages joined by '+', model
      'tri' or 'fused'.
  """
  names, _, text = argument.partition(',')
  languages = names.split('+')
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
  if text:
    read_captions(config, text)
  query, gallery = config.eval.tasks[0]
  config.best_metric = (
    f'narrated_{languages[0]}/validation/{query}_to_{gallery}/R@10'
  )
  return config


def workdir(languages: str) -> str:
  """Where the commands above keep the run of these languages."""
  return 'runs/stamps' if languages == 'fr' else f'runs/stamps_{languages}'


def read_captions(config: ml_collections.ConfigDict, text: str) -> None:
  """Adds text to the model, the batches, the loss and the evaluation."""
  if text not in TEXT:
    raise ValueError(f'no model {text!r} with text; there are {[*TEXT]}')
  config.words.vectors = 'sentence_encoder'
  config.model.update(word_dim=512, fused=text == 'fused')
  config.loss.pairs = TEXT[text].PAIRS
  config.eval.tasks = TEXT[text].TASKS
