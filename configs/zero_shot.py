r"""Zero-shot evaluation of HowTo100M models on the thesis' smaller data sets.

  python main.py --mode=prepare --config=configs/zero_shot.py:avlnet
  python main.py --mode=eval --config=configs/zero_shot.py:avlnet \
    --workdir=runs/avlnet

The models are `avlnet`, `tri` (runs/avlnet_text_tri) and `fused`
(runs/avlnet_text_fused); --workdir may also be that of imported weights. To
evaluate on some data sets only: configs/zero_shot.py:avlnet,youcook2+msrvtt.

Data: the authors' feature pickles in the folder --config.prepare.media_dir.

Expect R@10 (thesis, Tables 3.2, 3.4, 4.1 and 5.1; queries to video, and back):

                    avlnet        tri           fused
  youcook2          61.5; 60.8    44.3; 65.3    64.4; 65.5
  speech241         88.0; 88.0
  sounds241         32.4; 33.6
  crosstask         37.9; 35.7
  msrvtt            43.6; 46.6    27.4; 25.1    50.7; 54.9
  lsmdc                            9.4;  7.5    15.3; 15.9
  youcook_japanese  18.2; 21.3

The queries are audio, text (to audio and video) and text with audio. This
program has not run these configs, because the files belong to their owners. It
embeds about 29 clips of 10 s a second on two idle cores with AVX-512
(benchmarks/README.md), and these clips are up to five times as long.
"""

import ml_collections

from configs import avlnet, avlnet_text_fused, avlnet_text_tri

# The release pads to these numbers of frames, and to 5 * 1024 for the other
# data sets; the thesis says 30 s for MSR-VTT and 50 s for the others.
NUM_FRAMES = {'msrvtt': 3 * 1024, 'lsmdc': 3 * 1024}
EVALUATIONS = {  # name -> data set, split, queries (0: as many as clips)
  'youcook2': ('clips/youcook2', 'val', 0),
  'speech241': ('clips/youcook2', 'speech241', 0),
  'sounds241': ('clips/youcook2', 'sounds241', 0),
  'crosstask': ('clips/crosstask', 'val', 0),
  'msrvtt': ('clips/msrvtt', 'test', 1_000),  # 968 of them have sound
  'lsmdc': ('clips/lsmdc', 'test', 0),
  'youcook_japanese': ('clips/youcook_japanese', 'eval', 0),
}
MODELS = {  # model -> its config, its evaluations
  'avlnet': (avlnet, [name for name in EVALUATIONS if name != 'lsmdc']),
  'tri': (avlnet_text_tri, ['youcook2', 'msrvtt', 'lsmdc']),
  'fused': (avlnet_text_fused, ['youcook2', 'msrvtt', 'lsmdc']),
}


def get_config(argument: str = 'avlnet') -> ml_collections.ConfigDict:
  """Returns the config of 'MODEL' or 'MODEL,EVALUATION+EVALUATION'."""
  model, _, chosen = argument.partition(',')
  if model not in MODELS:
    raise ValueError(
      f'Unknown model {model!r}. Choose one of {", ".join(MODELS)}.'
    )
  recipe, names = MODELS[model]
  if unknown := [
    name for name in chosen.split('+') if name not in ['', *names]
  ]:
    raise ValueError(
      f'Unknown evaluations of {model}: {", ".join(unknown)}. Choose from '
      f'{", ".join(names)}.'
    )
  names = chosen.split('+') if chosen else names
  config = recipe.get_config()
  config.recipe = model
  config.eval_data.evaluations.update(evaluations(*names))
  config.prepare.datasets = tuple(
    dict.fromkeys(EVALUATIONS[name][0] for name in names)
  )
  return config


def evaluate_on(config: ml_collections.ConfigDict, *names: str) -> None:
  """Adds evaluations to the config of a training, and prepares their data."""
  # First, so that missing clips are reported before days of HowTo100M.
  config.prepare.datasets = (
    *(EVALUATIONS[name][0] for name in names),
    *config.prepare.datasets,
  )
  config.eval_data.evaluations.update(evaluations(*names))


def evaluations(*names: str) -> dict[str, dict]:
  """Returns entries of `eval_data.evaluations`, by name."""
  chosen = {}
  for name in names:
    dataset, split, queries = EVALUATIONS[name]
    chosen[name] = {
      'datasets': (dataset,),
      'splits': (split,),
      'num_queries': queries,
    }
    if name in NUM_FRAMES:
      chosen[name]['num_frames'] = NUM_FRAMES[name]
  return chosen
