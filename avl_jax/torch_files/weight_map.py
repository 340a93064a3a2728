"""Which weight of the release is which of ours, as a table; both directions.

PyTorch keeps a kernel as [out, in, ...] and ours is [..., in, out], with the
axes of length 1 left out that are no axes of ours: those of its pointwise and,
in the audio encoder, of its two-dimensional convolutions.
"""

import typing
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from flax import traverse_util

from avl_jax.torch_files.errors import ReleaseError

NORM, LINEAR = 'norm', 'linear'  # BatchNorm; a linear layer with a bias
UNUSED = ''  # in place of our module: it is in the file and never applied
BLOCKS = (2, 2, 2, 2)

WIDTH = -1  # in a shape: that of what the audio encoder gives

Path = tuple[str, ...]
# Their name, ours, and NORM, LINEAR or, of a convolution, which has no bias,
# the axes of length 1 that ours is without.
Layer = tuple[str, str, str | tuple[int, ...]]


class Weight(typing.NamedTuple):
  """An entry of the release's state dict.

  Attributes:
    path: in our variables; None if it is never applied.
    ones: axes of length 1 that ours is without.
    shape: of an entry that is never applied, in a new model.
    default: its value there.
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
  """A gated unit; UNUSED, if `ours` is."""
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


# Their leaf, our collection and name; shape and value where a layer is never
# applied: the norm of the input's one channel, the square layers of a gate.
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
  """The weights of layers, in the order of the state dict."""
  weights = {}
  for theirs, ours, kind in layers:
    is_convolution = kind not in (NORM, LINEAR)
    for leaf, collection, name, shape, default in (
      _NORM_LEAVES if kind == NORM else _LAYER_LEAVES
    ):
      if is_convolution and leaf == 'bias':
        continue
      used = UNUSED not in (ours, collection)
      path = (collection, *ours.split('/'), name) if used else None
      ones = kind if is_convolution else ()
      weights[f'{theirs}.{leaf}'] = Weight(path, ones, shape, default)
  return weights


# AVLnet-Text-Fused has a GU_audio, too, and does not use it.
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
  """Name of the variant whose state dict has exactly these keys.

  Args:
    keys: of a state dict.
    source: of the message.

  Raises:
    ReleaseError: none has; the message names keys that differ from the
      nearest one.
  """
  found = set(keys)
  differing = {name: found ^ set(weights) for name, weights in VARIANTS.items()}
  nearest = min(differing, key=lambda name: len(differing[name]))
  if not differing[nearest]:
    return nearest
  missing = sorted(differing[nearest] - found)
  unknown = sorted(differing[nearest] & found)
  raise ReleaseError(
    f'{source} is no checkpoint of {", ".join(VARIANTS)}: beside {nearest} it '
    f'lacks {_some(missing)} and has besides {_some(unknown)}'
  )


def weights_of(variables: Mapping) -> Weights | None:
  """The weights of the variant that has exactly these variables, if any."""
  found = traverse_util.flatten_dict(variables).keys()
  for weights in VARIANTS.values():
    if found == {w.path for w in weights.values() if w.path is not None}:
      return weights
  return None


def _some(names: Sequence[str]) -> str:
  shown = ', '.join(names[:3]) or 'nothing'
  return f'{shown} and {len(names) - 3} more' if len(names) > 3 else shown


def to_ours(weight: Weight, array: np.ndarray) -> np.ndarray:
  """An entry in our layout; ValueError if `ones` are not of length 1."""
  array = np.squeeze(array, weight.ones)
  if array.ndim > 1:
    array = np.moveaxis(array, (0, 1), (-1, -2))
  return np.ascontiguousarray(array)


def to_theirs(weight: Weight, array: np.ndarray) -> np.ndarray:
  """One of our arrays in PyTorch's layout."""
  array = np.asarray(array)
  if array.ndim > 1:
    array = np.moveaxis(array, (-1, -2), (0, 1))
  # From the front, so that each axis ends where the release has it.
  for axis in weight.ones:
    array = np.expand_dims(array, axis)
  return array


def variables_of(
  state: Mapping[str, np.ndarray], weights: Weights
) -> tuple[dict, dict[str, np.ndarray]]:
  """Our variables of a state dict, and the entries that are never applied."""
  used = {key: w for key, w in weights.items() if w.path is not None}
  variables = traverse_util.unflatten_dict(
    {weight.path: to_ours(weight, state[key]) for key, weight in used.items()}
  )
  return variables, {k: state[k] for k in weights if k not in used}


def state_dict_of(
  variables: Mapping,
  weights: Weights,
  unused: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
  """The release's state dict of our variables.

  Args:
    variables: {'params', 'batch_stats'}.
    weights: of the variant.
    unused: the entries that are never applied; those absent are ones and
      zeros, as at rest.
  """
  flat = traverse_util.flatten_dict(variables)
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
  """What a new model has in the place of an entry that is never applied."""
  width = len(variables['params', 'audio_projection', 'kernel'])
  shape = [width if n == WIDTH else n for n in weight.shape]
  # The one that is a scalar is a count.
  return np.full(shape, weight.default, np.float32 if shape else np.int64)
