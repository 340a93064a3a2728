r"""AVLnet on your own videos: a folder of a dozen files or more, no annotation.

  python main.py --mode=prepare --config=configs/own_videos.py \
    --config.prepare.media_dir=FOLDER
  python main.py --config=configs/own_videos.py \
    --config.prepare.media_dir=FOLDER
  python main.py --config=configs/own_videos.py:clips \
    --config.prepare.media_dir=MANIFEST.csv
  python main.py --config=configs/own_videos.py:speech \
    --config.prepare.media_dir=FOLDER

The first command extracts features only; the second does that if needed, then
trains, evaluates and writes runs/own_videos/report.html. After adding, changing
or deleting files, run it again with another --workdir, and with
--config.initial_workdir=runs/own_videos to start from the model.

Data: a dozen videos with sound or more, in any containers and folders. A
manifest may name captions, languages and splits, and with `clips` the times of
clips: see input_pipeline/README.md, "Your own videos". With `speech`, the clips
are the stretches of 5 to 50 s in which somebody speaks, found in whole videos:
see "A new language in an afternoon" there. Features are those of
EfficientNet-Lite0, which stands in for ResNet-152, or of
--config.prepare.resnet152=FILE and resnext101=FILE.

A batch has sixteen random clips of 10 s from each of four videos; with `clips`
and `speech`, 32 clips. A tenth of the videos, at least one, selects the
checkpoint, another tenth is for the test. Both are cut into windows of 10 s.
With `speech` it is three of sixteen videos each, cut into clips as the others.

Expect half an hour of video of 240 to 720 lines to take a minute of preparation
on two idle cores and 1.7 GB of memory, and 600 steps ten to fifteen minutes and
2.4 GB. With a dozen videos the scores say only whether everything works: the
report names the number of clips and videos that are ranked.
"""

import ml_collections

from configs import avlnet

ARGUMENTS = ('untrimmed', 'clips', 'speech')


def get_config(argument: str = 'untrimmed') -> ml_collections.ConfigDict:
  """Returns the config of a training on own videos.

  Args:
    argument: 'untrimmed', 'clips' for a manifest with times, or 'speech' for
      clips in which somebody speaks.

  Raises:
    ValueError: the argument is another.
  """
  if argument not in ARGUMENTS:
    raise ValueError(
      f'Unknown argument {argument!r}. Choose one of {", ".join(ARGUMENTS)}.'
    )
  config = avlnet.get_config()
  kind = 'untrimmed' if argument == 'untrimmed' else 'clips'
  datasets = (f'own_videos/{kind}',)
  config.num_steps = 600
  config.prepare.update(datasets=datasets, resnet152='efficientnet_lite0')
  config.train_data.update(
    datasets=datasets,
    batch_size=4,  # videos; more for a large collection
    clips_per_example=16,  # N = 64
    num_frames=1000,
  )
  if kind == 'clips':
    config.train_data.update(batch_size=32, clips_per_example=0)
  avlnet.use_small_model(config)
  config.optimizer.update(schedule='cosine', warmup_steps=50)
  config.train.update(log_every=10, eval_every=100, save_every=100)
  for name, split in (('validation', 'val'), ('test', 'test')):
    config.eval_data.evaluations[name] = {
      'datasets': datasets,
      'splits': (split,),
      'num_queries': 0,
    }
  config.eval_data.update(batch_size=64, num_frames=1000)
  if argument == 'speech':
    config.prepare.segments = 'speech'
    # The first 20 s of a clip, for speed; 5000, as in the thesis, is 50 s.
    config.train_data.num_frames = 2000
    config.eval_data.num_frames = 5000
  # In a gallery of ten or fewer R@10 is 100 %.
  config.best_metric = 'validation/val/audio_to_video/median_rank'
  return config
