r"""Fine-tuning on a smaller data set of the thesis, or training from scratch.

  python main.py --config=configs/finetune.py:youcook2
  python main.py --config=configs/finetune.py:youcook2,scratch
  python main.py --config=configs/finetune.py:youcook2,tri   (with text)
  python main.py --config=configs/finetune.py:youcook2,fused
  python main.py --config=configs/finetune.py:youcook2,late  (text added)
  python main.py --config=configs/finetune.py:youcook2,10%   (of HowTo100M)
  python main.py --config=configs/finetune.py:youcook2,20s   (an ablation)
  python main.py --config=configs/finetune.py:youcook2,alone (see below)
  python main.py --mode=compare --config=configs/finetune.py:stamps_fr
  python main.py --mode=compare --config=configs/finetune.py:narrated_fr

The last two are small versions of the others for a laptop, of
configs/stamps_finetune.py and configs/narrated_finetune.py. `late` adds text to
the trained audio-video model. `alone`, appended to any argument, evaluates only
on the data set's own clips, for when the other data sets are missing.

Data: the authors' feature pickles in the folder --config.prepare.media_dir; or
annotations and videos in that folder (see
input_pipeline/datasets/clips/builder.py) with --config.prepare.resnet152 and
--config.prepare.resnext101. Models with text also need
GoogleNews-vectors-negative300.bin, as in configs/avlnet_text_tri.py.

The initial variables are those of the default workdir of the pre-training
(`INITIAL`), or of --config.initial_workdir=RUN. To use the authors' weights:
  python main.py --mode=import --config.release.file=AVLnet_release.pth \
    --workdir=runs/released
and add --config.initial_workdir=runs/released --config.model.structure=release.

For the zero-shot results of Table 4.2, use `late` with --config.num_steps=0
--config.recipe=late; for the others, configs/zero_shot.py.
The thesis pads to 50 s, and to 30 s on MSR-VTT:
  --config.train_data.num_frames=5000 --config.eval_data.num_frames=5000

Expect R@10 (queries to video; back; thesis, Tables 3.2, 4.1, 4.2 and 5.1):

                    fine-tuned    scratch      tri           fused         late
  youcook2          67.4; 68.4    3.9;  4.9    66.5; 74.2    71.5; 72.5    66.3
  crosstask         44.8; 52.9    4.6; 11.0
  msrvtt            49.6; 50.3    9.0;  8.1    64.1; 63.9    66.6; 65.2    59.7
  lsmdc                                        34.6; 32.9    48.6; 47.6    44.4
  youcook_japanese  29.3; 29.7    3.8;  3.0

The authors used the V100s of the pre-training; the thesis does not say how long
it took. This program has not run these configs, because the files belong to
their owners.
"""

import ml_collections

from configs import (
  ablation,
  avlnet,
  avlnet_text_fused,
  avlnet_text_tri,
  fraction,
  narrated_finetune,
  stamps_finetune,
  zero_shot,
)

CLIPS = {  # number of clips of a training split
  'youcook2': 9_586,
  'crosstask': 17_840,
  'msrvtt': 6_783,
  'lsmdc': 101_079,
  'youcook_japanese': 10_000,  # about
}
TRAIN_SPLITS = {'msrvtt': 'train_7k'}  # default: 'train'
# Fine-tuned models that are also evaluated on other data sets.
ACROSS = {
  'youcook2': ('speech241', 'sounds241', 'youcook_japanese'),
  'youcook_japanese': ('youcook2',),
}
SHARES = {f'{share}%': share for share in fraction.SHARES if share < 100}
INITIAL = {  # model -> workdir of its initial variables
  '': 'runs/avlnet',
  'scratch': '',
  'tri': 'runs/avlnet_text_tri',
  'fused': 'runs/avlnet_text_fused',
  'late': 'runs/avlnet',
  **{name: f'runs/fraction_{share}' for name, share in SHARES.items()},
  **{row: f'runs/ablation_{row}' for row in ablation.CHANGES},
}
# Model -> first part of the recipe's name in avl_jax/reports/thesis_tables.py.
RECIPES = {
  '': 'finetune',
  **{name: f'avlnet/{name}' for name in SHARES},
  **{row: f'ablation/{row}' for row in ablation.CHANGES},
}
AUDIO_VIDEO = ('youcook2', 'crosstask', 'msrvtt', 'youcook_japanese')
TEXT = ('youcook2', 'msrvtt', 'lsmdc')
DATASETS = {  # model -> data sets that the thesis reports
  **dict.fromkeys(('', 'scratch'), AUDIO_VIDEO),
  **dict.fromkeys(('tri', 'fused', 'late'), TEXT),
  **dict.fromkeys(SHARES, ('youcook2', 'youcook_japanese')),
  **dict.fromkeys(ablation.CHANGES, ('youcook2', 'crosstask')),
}
ARGUMENTS = tuple(
  f'{name},{model}'.rstrip(',')
  for model, names in DATASETS.items()
  for name in names
)


FINE_TUNED = (5, 256, 1e-4, 1.0)
# Model -> epochs, batch size, learning rate, factor of its decay per epoch.
SCHEDULES = {
  'scratch': (15, 64, 1e-4, 1.0),
  'tri': (15, 256, 1e-4, 1.0),  # assumed to be the same on LSMDC
  'fused': (5, 256, 1e-5, 1.0),  # likewise
  'late': (5, 256, 1e-5, 1.0),  # not published; assumed to be that of `fused`
}
TRI_ON_YOUCOOK2 = (3, 256, 1e-4, 0.9)


def get_config(argument: str = 'youcook2') -> ml_collections.ConfigDict:
  """Returns the config of 'DATASET' or 'DATASET,MODEL', or a small one.

  Args:
    argument: one of `ARGUMENTS`, optionally with ',alone'; or
      'stamps_LANGUAGE' or 'narrated_LANGUAGE'.

  Raises:
    ValueError: it is neither.
  """
  if argument.startswith('stamps_'):
    return stamps_finetune.get_config(argument.removeprefix('stamps_'))
  if argument.startswith('narrated_'):
    return narrated_finetune.get_config(argument.removeprefix('narrated_'))
  alone = argument.endswith(',alone')
  argument = argument.removesuffix(',alone')
  if argument not in ARGUMENTS:
    raise ValueError(
      f'Unknown argument {argument!r}. Choose one of {" ".join(ARGUMENTS)}, '
      'optionally with ",alone", or stamps_LANGUAGE or narrated_LANGUAGE.'
    )
  name, _, model = argument.partition(',')
  config = _model_config(model)
  config.recipe = f'{RECIPES.get(model, model)}/{name}'
  config.initial_workdir = INITIAL[model]
  frames = zero_shot.NUM_FRAMES.get(name, config.eval_data.num_frames)
  config.train_data.update(
    datasets=(f'clips/{name}',),
    split=TRAIN_SPLITS.get(name, 'train'),
    clips_per_example=0,
    candidates=1,  # A clip of its own has no neighbours.
    num_frames=frames,
    min_time=0.0,
  )
  # The release's commands train in its evaluation mode, from scratch too:
  # BatchNorm's statistics are frozen and pooling is masked.
  config.model.update(pooling='masked', frozen_statistics=True)
  if argument == 'msrvtt,scratch':
    config.model.embed_dim = 2048  # the default, which its command does not set
  schedule = SCHEDULES.get(model, FINE_TUNED)
  if argument == 'youcook2,tri':
    schedule = TRI_ON_YOUCOOK2
  _set_schedule(config, schedule, CLIPS[name])
  across = () if model or alone else ACROSS.get(name, ())
  evaluated = (name, *across)
  datasets = [zero_shot.EVALUATIONS[key][0] for key in evaluated]
  config.prepare.datasets = tuple(dict.fromkeys(datasets))
  config.eval_data.evaluations = ml_collections.ConfigDict(
    zero_shot.evaluations(*evaluated)
  )
  return config


def _model_config(model: str) -> ml_collections.ConfigDict:
  """Returns the pre-training's config, with its model, loss and tasks."""
  if model in ablation.CHANGES:
    return ablation.get_config(model)
  if model == 'tri':
    config = avlnet_text_tri.get_config()
    config.loss.pairs = avlnet_text_tri.ADDITIVE
    return config
  if model in ('fused', 'late'):
    return avlnet_text_fused.get_config()
  return avlnet.get_config()


def _set_schedule(
  config: ml_collections.ConfigDict,
  schedule: tuple[int, int, float, float],
  clips: int,
) -> None:
  epochs, batch_size, learning_rate, decay_rate = schedule
  epoch = clips // batch_size  # steps; of YouCook2 9,586 // 256 = 37
  config.num_steps = epochs * epoch
  config.train_data.batch_size = batch_size
  config.optimizer.update(
    learning_rate=learning_rate, decay_rate=decay_rate, decay_steps=epoch
  )
  config.train.update(log_every=10, eval_every=epoch)
