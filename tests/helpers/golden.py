"""Reads the golden numbers and regenerates their seeded inputs and weights.

The recipes are those of `tests/golden/GOLDEN.md`, section 1, and of
`tests/golden/visual/VISUAL.md`. The environment variable `AVL_GOLDEN` may name
the folder of another set, made with other seeds and other sizes; a case's sizes
are in its description.
"""

import functools
import json
import os
import pathlib
import re
import zlib

import numpy as np

ROOT = pathlib.Path(
  os.environ.get('AVL_GOLDEN', pathlib.Path(__file__).parents[1] / 'golden')
)


@functools.cache
def _prefix(folder: str) -> str:
  """Prefix of all names of a set, after checking the set's probe.

  Args:
    folder: '' or 'visual'.
  """
  manifest = json.loads((ROOT / folder / 'manifest.json').read_text())
  prefix, probe = manifest.get('prefix', ''), manifest['probe']
  assert probe['rule'] == 'z("probe",(5,))'
  seed = zlib.crc32(f'{prefix}probe'.encode())
  values = np.random.Generator(np.random.PCG64(seed)).standard_normal(
    5, dtype=np.float32
  )
  assert seed == probe['seed'], (
    f'{ROOT / folder}: the seed of the probe differs'
  )
  assert values.tolist() == probe['values'], (
    f'{ROOT / folder}: NumPy draws {values.tolist()} for the probe'
  )
  return prefix


def find(name: str) -> pathlib.Path:
  """Path of a file; in some sets a letter precedes its name (H_loaders)."""
  path = ROOT / name
  if path.exists():
    return path
  (lettered,) = path.parent.glob(f'[A-Z]_{path.name}')
  return lettered


def load(name: str) -> tuple[dict, dict[str, np.ndarray]]:
  """Reads a golden case, and checks the set and the case's arrays.

  Returns:
    The description and the arrays.
  """
  folder = name.rpartition('/')[0]
  description = json.loads(find(f'{name}.json').read_text())
  prefix = _prefix(folder)
  assert description.get('prefix', prefix) == prefix
  with np.load(find(f'{name}.npz')) as file:
    arrays = dict(file)
  for key, array in arrays.items():
    assert crc(array) == description['arrays'][key]['crc32'], f'{name}: {key}'
  return description, arrays


def sub_arrays(arrays: dict, sub: str) -> dict[str, np.ndarray]:
  """Arrays of one sub-case, without its prefix."""
  return {
    key[len(sub) + 1 :]: value
    for key, value in arrays.items()
    if key.startswith(sub + '/')
  }


def subsample(description: dict, key: str) -> tuple[slice, ...]:
  """Index by which an array of a case was thinned out.

  Its description says '[:, 0::8]', or 'channels 0::32' of axis 1.
  """
  text = description['arrays'][key]['subsample']
  if not text.startswith('['):
    text = f'[:, {text.split()[1]}]'
  return tuple(
    slice(*(int(n) if n.strip() else None for n in axis.split(':')))
    for axis in text.strip('[]').split(',')
  )


def batches_of(case: dict) -> list[str]:
  """Suffixes of a trajectory's batches: '_batch0', '_batch1', ..."""
  numbers = (re.fullmatch(r'video_batch(\d+)', role) for role in case['inputs'])
  return [f'_batch{n}' for n in sorted(int(m[1]) for m in numbers if m)]


def generator(name: str, folder: str = '') -> np.random.Generator:
  """Generator of a name; `folder` 'visual' for that part of the set."""
  seed = zlib.crc32((_prefix(folder) + name).encode())
  return np.random.Generator(np.random.PCG64(seed))


def normal(name: str, shape, folder: str = '') -> np.ndarray:
  """Standard normal float32, in C order."""
  return np.asarray(
    generator(name, folder).standard_normal(tuple(shape), dtype=np.float32)
  )


def crc(array: np.ndarray) -> int:
  return zlib.crc32(np.ascontiguousarray(array).tobytes()) & 0xFFFFFFFF


def weight(key: str, shape, keys) -> np.ndarray:
  """One entry of a state dict in PyTorch's layout; `keys` are all its keys."""
  module, leaf = key.rsplit('.', 1)
  is_batch_norm = f'{module}.running_mean' in keys
  if leaf == 'num_batches_tracked':
    return np.zeros((), np.int64)
  values = normal(key, shape)
  if leaf == 'running_mean':
    return np.float32(0.1) * values
  if leaf == 'running_var':
    return np.float32(1) + np.float32(0.1) * np.abs(values)
  if is_batch_norm and leaf == 'weight':
    return np.float32(1) + np.float32(0.1) * values
  if leaf == 'bias':
    return np.float32(0.1 if is_batch_norm else 0.01) * values
  return values * np.float32(1 / np.sqrt(float(np.prod(shape[1:]))))


# Where a width that is not a multiple of embd_dim enters.
_INPUT_WIDTHS = {
  'GU_video.fc.weight': 'video_dim',
  'text_pooling_caption.fc.weight': 'we_dim',
}


def _resized(key: str, shape: list[int], released: dict, net: dict) -> list:
  """Shape of an entry in a network of other widths than the released one."""
  if key.startswith(('DAVEnet.', 'GU_audio.')):  # Their widths are fixed.
    return shape
  outputs, *inputs = (
    n * net['embd_dim'] // released['embd_dim'] for n in shape
  )
  if key in _INPUT_WIDTHS:
    inputs = [net[_INPUT_WIDTHS[key]]]
  elif key == 'DAVEnet_projection.weight':
    inputs = shape[1:]
  return [outputs, *inputs]


def state_dict(variant: str, **net: int) -> dict[str, np.ndarray]:
  """Synthetic weights of a variant of the release.

  Args:
    variant: 'AVLnet', 'AVLnet-Text-Tri' or 'AVLnet-Text-Fused'.
    **net: `embd_dim`, `video_dim`, `we_dim`, where they are not the released
      ones; other entries of a case's `params['net']` are ignored.
  """
  described = json.loads(find('state_dict.json').read_text())[variant]
  checks = json.loads(find('weights.json').read_text())['weights']
  keys = [key for key, *_ in described['keys']]
  weights = {}
  for key, released, *_ in described['keys']:
    shape = _resized(key, released, described['net'], described['net'] | net)
    weights[key] = weight(key, shape, keys)
    check = checks[f'{key}|{",".join(map(str, shape))}']['crc32']
    assert crc(weights[key]) == check, f'{key} is not what the golden set used'
  return weights


def visual_state_dict(arch: str, depth) -> dict[str, np.ndarray]:
  """Synthetic weights of 'resnet152' or 'resnext101' with `depth` blocks."""
  listed = json.loads(find(f'visual/{arch}_keys.json').read_text())['keys']
  keys = [f'{arch}/{key}' for key, *_ in listed]
  state = {}
  for key, shape, _, _, check, _ in listed:
    layer, *rest = key.split('.')
    if layer.startswith('layer') and int(rest[0]) >= depth[int(layer[-1]) - 1]:
      continue
    array = weight(f'{arch}/{key}', shape, keys)
    if key.endswith('.bn3.weight'):
      array = array * np.float32(0.5)
    if arch == 'resnext101' and key == 'conv1.weight':
      array = array * np.float32(1 / 64)
    assert crc(array) == check, f'{key} is not what the golden set used'
    state[key] = array
  return state


def make_inputs(sub: dict) -> np.ndarray:
  """All inputs of a sub-case, joined on the first axis."""
  inputs = sub['inputs']
  return np.concatenate([make_input(inputs[role]) for role in sorted(inputs)])


def _scaled(name, shape, c):
  return normal(name, shape) * np.float32(c)


def _feat(name, shape, c):
  return np.abs(normal(name, shape)) * np.float32(c)


def _clipped(name, shape, c, lim):
  return np.clip(
    normal(name, shape) * np.float32(c), np.float32(-lim), np.float32(lim)
  ).astype(np.float32)


def db_audio(name, shape, nframes=None):
  """float32 [B, 40, T] in dB; 0 from the frames `nframes` on."""
  batch, mels, _ = shape
  profile = normal(f'{name}/profile', (batch, mels, 1))
  audio = np.clip(
    np.float32(-40)
    + np.float32(12) * profile
    + np.float32(8) * normal(name, shape),
    np.float32(-80),
    np.float32(0),
  ).astype(np.float32)
  for i, n in enumerate(nframes or []):
    audio[i, :, n:] = 0
  return audio


def _unit_audio(name, shape):
  batch, mels, _ = shape
  profile = normal(f'{name}/profile', (batch, mels, 1))
  return np.float32(0.4) * profile + np.float32(0.4) * normal(name, shape)


def _words(name, shape, nwords):
  words = normal(name, shape) * np.float32(0.2)
  for i, n in enumerate(nwords):
    words[i, n:] = 0
  return words


def _frames(name, shape, cell, tcell, amp, noise, base, colour):
  t, h, w = shape
  draw = functools.partial(normal, folder='visual')
  grid = draw(
    f'{name}/grid', (-(-t // tcell), -(-h // cell), -(-w // cell), 3)
  ) * np.float32(amp)
  for axis, repeats in ((0, tcell), (1, cell), (2, cell)):
    grid = np.repeat(grid, repeats, axis)
  image = np.float32(base) + draw(f'{name}/colour', (1, 1, 1, 3)) * (
    np.float32(colour)
  )
  image = image + grid[:t, :h, :w]
  image = image + draw(name, (t, h, w, 3)) * np.float32(noise)
  return np.clip(np.rint(image), 0, 255).astype(np.uint8)


_KINDS = {
  'scaled': _scaled,
  'feat': _feat,
  'clipped': _clipped,
  'db_audio': db_audio,
  'unit_audio': _unit_audio,
  'words': _words,
  'frames': _frames,
}


def make_input(recipe: dict) -> np.ndarray:
  """Array of `json['sub'][...]['inputs'][role]`, checked by its crc32."""
  recipe = dict(recipe)
  kind, check = recipe.pop('kind'), recipe.pop('crc32')
  array = _KINDS[kind](**recipe)
  assert crc(array) == check, f'input {recipe} is not what the golden set used'
  return array


def _int16_grid(samples: np.ndarray) -> np.ndarray:
  clipped = np.clip(np.rint(samples), -32768, 32767)
  return clipped.astype(np.int16).astype(np.float32) / np.float32(32768)


def waveform(recipe: dict) -> np.ndarray:
  """16 kHz mono float32 samples of `params['waveform']`."""
  n, kind = recipe['N'], recipe['kind']
  if kind == 'zeros':
    return np.zeros(n, np.float32)
  if kind == 'enveloped_noise':
    ramp = np.arange(n, dtype=np.float64) / max(n - 1, 1)
    envelope = 0.05 + 0.95 * np.abs(1.0 - 2.0 * ramp)
    noise = normal(recipe['name'], (n,)).astype(np.float64)
    return _int16_grid(envelope * noise * recipe['amp'] * 32767.0)
  if kind == 'chirp':
    t = np.arange(n, dtype=np.float64) / 16000.0
    f0, f1 = recipe['f0'], recipe['f1']
    phase = f0 * t + 0.5 * (f1 - f0) / (n / 16000.0) * t * t
    return _int16_grid(recipe['amp'] * 32767.0 * np.sin(2.0 * np.pi * phase))
  if kind == 'near_silence':
    noise = normal(recipe['name'], (n,)).astype(np.float64)
    return _int16_grid(noise * recipe['lsb'] + recipe['dc'])
  if kind == 'click':
    samples = np.zeros(n)
    samples[recipe['pos']] = 32767
    return _int16_grid(samples)
  raise KeyError(kind)
