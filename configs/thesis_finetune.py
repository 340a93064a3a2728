r"""AVLnet fine-tuned on the smaller data sets of the thesis, or on them alone.

  python main.py --config=configs/thesis_finetune.py:youcook2
  python main.py --config=configs/thesis_finetune.py:youcook2,scratch
  python main.py --config=configs/thesis_finetune.py:youcook2,alone

Data sets: youcook2 crosstask msrvtt youcook_japanese, from the authors' feature
pickles in the folder --config.prepare.media_dir, or from annotations and videos
there (see input_pipeline/datasets/clips.py) with --config.prepare.resnet152
and --config.prepare.resnext101. "alone": evaluated on its own data only, where
the other sets are not at hand. Fine-tuning starts from the
run --config.initial_workdir (default runs/avlnet). From the authors' weights:
  python main.py --mode=import --config.release.file=AVLnet_release.pth \
    --workdir=runs/released
and add --config.initial_workdir=runs/released --config.model.structure=release.
The same evaluations zero-shot: --mode=eval with this config, the workdir of
the pre-trained model and --config.recipe=avlnet.

Expect R@10 (audio to video; video to audio; thesis, Tables 3.2 and 5.1):

                    zero-shot      fine-tuned     target only
  youcook2          61.5; 60.8     67.4; 68.4     3.9; 4.9
  crosstask         37.9; 35.7     44.8; 52.9     4.6; 11.0
  msrvtt            43.6; 46.6     49.6; 50.3     9.0; 8.1
  youcook_japanese  18.2; 21.3     29.3; 29.7     3.8; 3.0

The thesis ran these on the V100s of the pre-training and does not say how
long. They have not been run by this program: the files belong to their owners.
"""

import ml_collections

from configs import avlnet

CLIPS = {  # of a training split
  'youcook2': 9_586,
  'crosstask': 17_840,
  'msrvtt': 6_783,
  'youcook_japanese': 10_000,  # about
}
TRAIN_SPLITS = {'msrvtt': 'train_7k'}  # 'train' of the others
# The release pads to these frames; the thesis says 50 s, and 30 s of MSR-VTT.
NUM_FRAMES = {'msrvtt': 3 * 1024}
EVALUATIONS = {  # name -> data set, split, queries (0: as many as clips)
  'youcook2': ('clips/youcook2', 'val', 0),
  'speech241': ('clips/youcook2', 'speech241', 0),
  'sounds241': ('clips/youcook2', 'sounds241', 0),
  'crosstask': ('clips/crosstask', 'val', 0),
  'msrvtt': ('clips/msrvtt', 'test', 1_000),  # of which 968 have sound
  'youcook_japanese': ('clips/youcook_japanese', 'eval', 0),
}
# Fine-tuned models that are evaluated on other data, too.
ACROSS = {
  'youcook2': ('speech241', 'sounds241', 'youcook_japanese'),
  'youcook_japanese': ('youcook2',),
}


def get_config(argument: str = 'youcook2') -> ml_collections.ConfigDict:
  """The recipe of 'DATASET', with ',scratch' and ',alone' or without."""
  name, *options = argument.split(',')
  if name not in CLIPS or not set(options) <= {'scratch', 'alone'}:
    raise ValueError(
      f'expected one of {", ".join(CLIPS)}, with ",scratch" or without, '
      '",alone" or without'
    )
  regime = 'scratch' if 'scratch' in options else ''
  batch_size = 64 if regime else 256
  epoch = CLIPS[name] // batch_size  # steps
  frames = NUM_FRAMES.get(name, 5 * 1024)
  config = avlnet.get_config()
  config.recipe = f'{regime or "finetune"}/{name}'
  config.initial_workdir = '' if regime else 'runs/avlnet'
  config.num_steps = (15 if regime else 5) * epoch
  evaluated = (name,)
  if 'alone' not in options:
    evaluated += ACROSS.get(name, ())
  datasets = dict.fromkeys(EVALUATIONS[key][0] for key in evaluated)
  config.prepare.datasets = tuple(datasets)
  config.train_data.update(
    datasets=(f'clips/{name}',),
    split=TRAIN_SPLITS.get(name, 'train'),
    batch_size=batch_size,
    clips_per_example=0,
    num_frames=frames,
  )
  # The release's commands train in its evaluation mode: statistics of
  # BatchNorm frozen, pooling masked, from scratch likewise.
  config.model.update(pooling='masked', frozen_statistics=True)
  if (name, regime) == ('msrvtt', 'scratch'):
    config.model.embed_dim = 2048  # its command leaves the default
  config.optimizer.update(learning_rate=1e-4, decay_rate=1.0, decay_steps=epoch)
  config.train.update(log_every=10, eval_every=epoch)
  config.eval_data.update(num_frames=frames)
  config.eval_data.evaluations.update(evaluations(*evaluated))
  return config


def evaluations(*names: str) -> dict[str, dict]:
  """The values of `eval_data.evaluations` of these names."""
  return {
    name: {'datasets': (dataset,), 'splits': (split,), 'num_queries': queries}
    for name, (dataset, split, queries) in EVALUATIONS.items()
    if name in names
  }
