r"""AVLnet on generated narrated videos: a miniature of HowTo100M and YouCook2.

  python main.py --mode=prepare --config=configs/narrated_videos.py   (French)
  python main.py --config=configs/narrated_videos.py
  python main.py --config=configs/narrated_videos.py:es               (Spanish)
  python main.py --config=configs/narrated_videos.py \
    --config.prepare.narrated.shift=4.0 --config.data_dir=FOLDER

Languages: fr ro ru ca bg es be el. The first command downloads the stamps of a
drawing program (161 MB, Debian package), generates videos of them in which a
voice names what is shown, sooner or later, and prepares the files as your own
videos are. The second one does that if needed, then trains on random clips of
5 s and evaluates without fine-tuning on annotated clips of other videos, by
voices that have never been heard in training. The videos are in
generated/narrated_videos below --config.data_dir; input_pipeline/README.md,
"Narrated videos", describes them and the table of what is in them.

Expect on two cores: 14 minutes to generate and prepare seven hours of video
(1.2 GB), and 20 to 24 to train. R@10 of speech to video and back: 40.4 and 46.1
% of 349 clips (chance 2.9 %), 35.7 and 34.7 % of 199 clips that a volunteer
speaks (chance 5.0 %).

Other settings (`prepare.narrated`) make other videos. Their records need
another --config.data_dir.
"""

import ml_collections

from configs import avlnet
from configs.stamps import LANGUAGES


def get_config(argument: str = 'fr') -> ml_collections.ConfigDict:
  """Returns the config of a training on generated videos.

  Args:
    argument: language of the videos.

  Raises:
    ValueError: the language is unknown.
  """
  if argument not in LANGUAGES:
    raise ValueError(
      f'Unknown language {argument!r}. Choose one of {", ".join(LANGUAGES)}.'
    )
  untrimmed, clips, human = (
    f'narrated_videos/{part}_{argument}'
    for part in ('untrimmed', 'clips', 'human')
  )
  config = avlnet.get_config()
  config.num_steps = 1200
  config.prepare.update(
    datasets=(untrimmed, clips, human), resnet152='efficientnet_lite0'
  )
  config.prepare.narrated.update(
    seed=1,
    num_videos=(150, 3, 3),  # untrimmed: train, val, test
    num_clip_videos=(10, 8, 26),  # with annotated clips: train, val, test
    num_human_videos=14,  # likewise, by a volunteer's recordings: test
    num_things=100,  # that the videos are about
    lengths=(30.0, 300.0),  # seconds of a video
    scene_lengths=(4.0, 9.0),  # seconds
    things_at_once=2,  # at most, that may be named
    clutter=2,  # at most, small things at once that are never named
    shift=1.5,  # seconds between showing and naming, at most
    speech_share=0.8,  # of the scenes
    sound_share=0.5,  # of the things with a natural sound
  )
  config.train_data.update(
    datasets=(untrimmed,),
    batch_size=8,  # videos
    clips_per_example=16,  # N = 128
    num_frames=500,  # 5 s, as long as a scene
    spectrogram_augmentation={
      'seconds': (2.0, 5.0),
      'speed': (0.85, 1.2),
      'pitch': (0.85, 1.2),
      'equaliser': 4.0,
      'signal_to_noise': (5.0, 40.0),
      'frequency_masks': 1,
      'time_masks': 1,
    },
  )
  avlnet.use_small_model(config)
  config.optimizer.update(schedule='cosine', warmup_steps=50)
  config.train.update(log_every=10, eval_every=100, save_every=100)
  for name, dataset, split in (
    ('validation', clips, 'val'),
    ('test', clips, 'test'),
    ('human', human, 'test'),
  ):
    config.eval_data.evaluations[name] = {
      'datasets': (dataset,),
      'splits': (split,),
      'num_queries': 0,
    }
  config.eval_data.update(batch_size=64, num_frames=1500)
  config.search.update(window=5.0, step=2.5)  # as the clips of training
  config.best_metric = 'validation/val/audio_to_video/R@10'
  return config


def workdir(language: str) -> str:
  """Returns the default workdir of the run of a language."""
  suffix = '' if language == 'fr' else f'_{language}'
  return f'runs/narrated_videos{suffix}'


def held_back(config: ml_collections.ConfigDict) -> dict:
  """Leaves only the evaluation that selects checkpoints in a config.

  Args:
    config: of `get_config`; changed.

  Returns:
    The other evaluations, those of a comparison.
  """
  evaluations = config.eval_data.evaluations.to_dict()
  config.eval_data.evaluations = ml_collections.ConfigDict(
    {'validation': evaluations.pop('validation')}
  )
  return evaluations


def shorten(config: ml_collections.ConfigDict, steps: int) -> dict:
  """Makes the runs of a comparison short; see `held_back`.

  Args:
    config: of `get_config`; changed.
    steps: of a run.

  Returns:
    The evaluations of the comparison.
  """
  config.num_steps = steps
  config.model.blocks = (1, 1, 1, 1)  # half of the time of the thesis' two
  config.train.update(eval_every=steps // 3, save_every=steps // 3)
  return held_back(config)
