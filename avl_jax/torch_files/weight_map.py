"""Maps the release's weights to ours and back, with a table.

PyTorch's kernels are [out, in, ...], ours are [..., in, out]. Ours also lack
some axes of length 1: those of pointwise convolutions and, in the audio
encoder, of two-dimensional convolutions.
"""

import typing
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from avl_jax.torch_files import trees
from avl_jax.torch_files.errors import ReleaseError

NORM, LINEAR = 'norm', 'linear'  # BatchNorm; a linear layer with a bias
UNUSED = ''  # in place of our module: in the file, but never applied
BLOCKS = (2, 2, 2, 2)

WIDTH = -1  # in a shape: the width of the audio encoder's output

Path = tuple[str, ...]
# Their name, our name, and the kind: NORM, LINEAR, or for a convolution (which
# has no bias) the axes of length 1 that ours lacks.
Layer = tuple[str, str, str | tuple[int, ...]]


class Weight(typing.NamedTuple):
  """An entry of the release's state dict.

  Attributes:
    path: in our variables; None if the entry is never applied.
    ones: axes of length 1 that ours lacks.
    shape: of an entry that is never applied, in a new model.
    default: value of an entry that is never applied, in a new model.
  """

  path: Path | None
  ones: tuple[int, ...] = ()
  shape: tuple[int, ...] = ()
  default: float | int = 0


Weights = dict[str, Weight]  # by name, in the order of the state dict


def _audio_encoder() -> Iterable[Layer]:
  yield 'DAVEnet.batchnorm1', UNUSED, NORM
  yield 'DAVEnet.conv1', 'audio_encoder/stem', (1, 3)
  yield 'DAVEnet.bn1', 'audio_encoder/stem_norm', NORM
  for stage, blocks in enumerate(BLOCKS, 1):
    for block in range(blocks):
      theirs = f'DAVEnet.layer{stage}.{block}'
      ours = f'audio_encoder/stage{stage}_block{block}'
      for i in (1, 2):
        yield f'{theirs}.conv{i}', f'{ours}/conv{i}', (2,)
        yield f'{theirs}.bn{i}', f'{ours}/norm{i}', NORM
      if not block:
        yield f'{theirs}.downsample.0', f'{ours}/shortcut', (2, 3)
        yield f'{theirs}.downsample.1', f'{ours}/shortcut_norm', NORM


def _gated(theirs: str, ours: str) -> Iterable[Layer]:
  """Layers of a gated unit; UNUSED if `ours` is UNUSED."""
  yield f'{theirs}.fc', ours and f'{ours}/linear', LINEAR
  yield f'{theirs}.cg.fc', ours and f'{ours}/gate/linear', LINEAR


def _audio_video(audio_head: str) -> Iterable[Layer]:
  yield from _audio_encoder()
  yield 'DAVEnet_projection', 'audio_projection', LINEAR
  yield from _gated('GU_audio', audio_head)
  yield from _gated('GU_video', 'video_head')


_TEXT_POOL = ('text_pooling_caption.fc', 'text_pool/linear', LINEAR)
_FUSED = (
  ('GU_audio_text.fc_audio', 'audio_text_head/audio', LINEAR),
  ('GU_audio_text.fc_text', 'audio_text_head/text', LINEAR),
  ('GU_audio_text.cg.fc', 'audio_text_head/gate/linear', LINEAR),
)


# Their leaf, our collection and name; the shape and value of layers that are
# never applied (the norm of the input's one channel, the gate's square layers).
_NORM_LEAVES = (
  ('weight', 'params', 'scale', (1,), 1.0),
  ('bias', 'params', 'bias', (1,), 0.0),
  ('running_mean', 'batch_stats', 'mean', (1,), 0.0),
  ('running_var', 'batch_stats', 'var', (1,), 1.0),
  ('num_batches_tracked', UNUSED, '', (), 0),
)
_LAYER_LEAVES = (
  ('weight', 'params', 'kernel', (WIDTH, WIDTH), 0.0),
  ('bias', 'params', 'bias', (WIDTH,), 0.0),
)


def table(*layers: Layer) -> Weights:
  """Lists the weights of layers, in the order of the state dict."""
  weights = {}
  for theirs, ours, kind in layers:
    for leaf, collection, name, shape, default in (
      _NORM_LEAVES if kind == NORM else _LAYER_LEAVES
    ):
      if isinstance(kind, tuple) and leaf == 'bias':
        continue
      used = UNUSED not in (ours, collection)
      path = (collection, *ours.split('/'), name) if used else None
      ones = kind if isinstance(kind, tuple) else ()
      weights[f'{theirs}.{leaf}'] = Weight(path, ones, shape, default)
  return weights


# AVLnet-Text-Fused also has a GU_audio, but does not use it.
VARIANTS: dict[str, Weights] = {
  'AVLnet': table(*_audio_video('audio_head')),
  'AVLnet-Text-Tri': table(
    *_audio_video('audio_head'),
    _TEXT_POOL,
    *_gated('GU_text_captions', 'text_head'),
  ),
  'AVLnet-Text-Fused': table(*_audio_video(UNUSED), _TEXT_POOL, *_FUSED),
}


def variant_of(keys: Iterable[str], source: str) -> str:
  """Finds the variant whose state dict has exactly these keys.

  Args:
    keys: of a state dict.
    source: of the state dict, for the message.

  Raises:
    ReleaseError: no variant has these keys; the message names the differences
      from the nearest variant.
  """
  found = set(keys)
  differing = {name: found ^ set(weights) for name, weights in VARIANTS.items()}
  nearest = min(differing, key=lambda name: len(differing[name]))
  if not differing[nearest]:
    return nearest
  missing = sorted(differing[nearest] - found)
  unknown = sorted(differing[nearest] & found)
  raise ReleaseError(
    f'{source} is not a checkpoint of {", ".join(VARIANTS)}. Compared with '
    f'{nearest}, it lacks {_some(missing)} and has also {_some(unknown)}.'
  )


def weights_of(variables: Mapping) -> Weights | None:
  """Finds the weights of the variant with exactly these variables, or None."""
  found = trees.flatten(variables).keys()
  for weights in VARIANTS.values():
    if found == {w.path for w in weights.values() if w.path is not None}:
      return weights
  return None


def _some(names: Sequence[str]) -> str:
  shown = ', '.join(names[:3]) or 'nothing'
  return f'{shown} and {len(names) - 3} more' if len(names) > 3 else shown


def to_ours(weight: Weight, array: np.ndarray) -> np.ndarray:
  """Converts an entry to our layout; ValueError if `ones` are longer than 1."""
  array = np.squeeze(array, weight.ones)
  if array.ndim > 1:
    array = np.moveaxis(array, (0, 1), (-1, -2))
  return np.ascontiguousarray(array)


def to_theirs(weight: Weight, array: np.ndarray) -> np.ndarray:
  """Converts one of our arrays to PyTorch's layout."""
  array = np.asarray(array)
  if array.ndim > 1:
    array = np.moveaxis(array, (-1, -2), (0, 1))
  # From the front, so that each axis ends at its place in the release.
  for axis in weight.ones:
    array = np.expand_dims(array, axis)
  return array


def variables_of(
  state: Mapping[str, np.ndarray], weights: Weights
) -> tuple[dict, dict[str, np.ndarray]]:
  """Converts a state dict to our variables, and the entries never applied."""
  flat, unused = {}, {}
  for key, weight in weights.items():
    if weight.path is None:
      unused[key] = state[key]
    else:
      flat[weight.path] = to_ours(weight, state[key])
  return trees.unflatten(flat), unused


def state_dict_of(
  variables: Mapping,
  weights: Weights,
  unused: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
  """Converts our variables to the release's state dict.

  Args:
    variables: {'params', 'batch_stats'}.
    weights: of the variant.
    unused: entries that are never applied; absent ones get the values of a
      new model.
  """
  flat = trees.flatten(variables)
  state = {}
  for key, weight in weights.items():
    if weight.path is not None:
      state[key] = to_theirs(weight, flat[weight.path])
    elif key in unused:
      state[key] = unused[key]
    else:
      state[key] = _new(weight, flat)
  return state


def _new(weight: Weight, variables: Mapping[Path, np.ndarray]) -> np.ndarray:
  """Value of an entry that is never applied, in a new model."""
  width = len(variables['params', 'audio_projection', 'kernel'])
  shape = [width if n == WIDTH else n for n in weight.shape]
  # The only scalar entry is a counter.
  return np.full(shape, weight.default, np.float32 if shape else np.int64)
