"""Which weight of the release is which of ours, as a table; both directions.

PyTorch keeps a kernel as [out, in, ...] and ours is [..., in, out], with the
axes of length 1 left out that its two-dimensional convolutions have.
"""

import typing
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from flax import traverse_util

from avl_jax.release.safety import ReleaseError

NORM = None  # in place of a kernel's axes: a BatchNorm
UNUSED = ''  # in place of our module: it is in the file and never applied
BLOCKS = (2, 2, 2, 2)

Path = tuple[str, ...]
Layer = tuple[str, str, tuple[int, ...] | None]


class Weight(typing.NamedTuple):
  """An entry of the release's state dict.

  Attributes:
    path: in our variables; None if it is never applied.
    ones: axes of length 1 that ours is without.
    default: value of an entry that is never applied.
  """

  path: Path | None
  ones: tuple[int, ...] = ()
  default: float | int = 0


class Variant(typing.NamedTuple):
  """A model of the release.

  Attributes:
    weights: by name, in the order of its state dict.
    options: keyword arguments of our model that have its structure.
  """

  weights: dict[str, Weight]
  options: dict[str, object]


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
  yield f'{theirs}.fc', ours and f'{ours}/linear', ()
  yield f'{theirs}.cg.fc', ours and f'{ours}/gate/linear', ()


_AUDIO_VIDEO = (
  *_audio_encoder(),
  ('DAVEnet_projection', 'audio_projection', ()),
  *_gated('GU_audio', 'audio_head'),
  *_gated('GU_video', 'video_head'),
)


def _weights(layers: Sequence[Layer]) -> dict[str, Weight]:
  weights = {}
  for theirs, ours, ones in layers:
    leaves = (
      ('weight', 'params', 'kernel' if ones is not NORM else 'scale', 1.0),
      ('bias', 'params', 'bias', 0.0),
      ('running_mean', 'batch_stats', 'mean', 0.0),
      ('running_var', 'batch_stats', 'var', 1.0),
      ('num_batches_tracked', '', '', 0),
    )
    if ones is not NORM:  # of which convolutions have no bias
      leaves = leaves[: 1 if ones else 2]
    for leaf, collection, name, default in leaves:
      used = ours != UNUSED and collection
      path = (collection, *ours.split('/'), name) if used else None
      kernel = ones if ones and leaf == 'weight' else ()
      weights[f'{theirs}.{leaf}'] = Weight(path, kernel, default)
  return weights


# A text model is another row: its layers follow the audio-video model's, but
# for GU_audio, which AVLnet-Text-Fused has and does not use.
VARIANTS = {
  'AVLnet': Variant(_weights(_AUDIO_VIDEO), {'structure': 'release'}),
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
  differing = {
    name: found ^ set(variant.weights) for name, variant in VARIANTS.items()
  }
  nearest = min(differing, key=lambda name: len(differing[name]))
  if not differing[nearest]:
    return nearest
  missing = sorted(differing[nearest] - found)
  unknown = sorted(differing[nearest] & found)
  raise ReleaseError(
    f'{source} is no checkpoint of {", ".join(VARIANTS)}: beside {nearest} it '
    f'lacks {_some(missing)} and has besides {_some(unknown)}'
  )


def _some(names: Sequence[str]) -> str:
  shown = ', '.join(names[:3]) or 'nothing'
  return f'{shown} and {len(names) - 3} more' if len(names) > 3 else shown


def to_ours(weight: Weight, array: np.ndarray) -> np.ndarray:
  """An entry in our layout; ValueError if `ones` are not of length 1."""
  return np.ascontiguousarray(np.squeeze(array, weight.ones).T)


def to_theirs(weight: Weight, array: np.ndarray) -> np.ndarray:
  """One of our arrays in PyTorch's layout."""
  array = np.asarray(array).T
  # From the front, so that each axis ends where the release has it.
  for axis in weight.ones:
    array = np.expand_dims(array, axis)
  return array


def variables_of(
  state: Mapping[str, np.ndarray], weights: Mapping[str, Weight]
) -> tuple[dict, dict[str, np.ndarray]]:
  """Our variables of a state dict, and the entries that are never applied."""
  used = {key: w for key, w in weights.items() if w.path is not None}
  variables = traverse_util.unflatten_dict(
    {weight.path: to_ours(weight, state[key]) for key, weight in used.items()}
  )
  return variables, {k: state[k] for k in weights if k not in used}


def state_dict_of(
  variables: Mapping,
  weights: Mapping[str, Weight],
  unused: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
  """The release's state dict of our variables.

  Args:
    variables: {'params', 'batch_stats'}.
    weights: of the variant.
    unused: the entries that are never applied; those absent get the values
      of a new model: ones and zeros.
  """
  flat = traverse_util.flatten_dict(variables)
  state = {}
  for key, weight in weights.items():
    if weight.path is not None:
      state[key] = to_theirs(weight, flat[weight.path])
    elif key in unused:
      state[key] = unused[key]
    else:
      state[key] = _new(key, weight)
  return state


def _new(key: str, weight: Weight) -> np.ndarray:
  if key.endswith('num_batches_tracked'):
    return np.zeros((), np.int64)
  return np.full(1, weight.default, np.float32)
