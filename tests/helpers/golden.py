"""Reads the golden numbers and regenerates their seeded inputs and weights.

The recipes are those of `tests/golden/GOLDEN.md`, section 1. `AVL_GOLDEN` may
name another set, made with other seeds.
"""

import functools
import json
import os
import pathlib
import zlib

import numpy as np

ROOT = pathlib.Path(
  os.environ.get('AVL_GOLDEN', pathlib.Path(__file__).parents[1] / 'golden')
)


@functools.cache
def _prefix(folder: str) -> str:
  manifest = ROOT / folder / 'manifest.json'
  return json.loads(manifest.read_text()).get('prefix', '')


def find(name: str) -> pathlib.Path:
  """The file of this name; older sets have a letter before it (H_loaders)."""
  path = ROOT / name
  if path.exists():
    return path
  (lettered,) = path.parent.glob(f'[A-Z]_{path.name}')
  return lettered


def load(name: str) -> tuple[dict, dict[str, np.ndarray]]:
  """Returns the description and the arrays of a golden case."""
  description = json.loads(find(f'{name}.json').read_text())
  with np.load(find(f'{name}.npz')) as arrays:
    return description, dict(arrays)


def sub_arrays(arrays: dict, sub: str) -> dict[str, np.ndarray]:
  """The arrays of one sub-case, without its prefix."""
  return {
    key[len(sub) + 1 :]: value
    for key, value in arrays.items()
    if key.startswith(sub + '/')
  }


def generator(name: str, folder: str = '') -> np.random.Generator:
  """The generator of a name; `folder` 'visual' for that part of the set."""
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


def state_dict(variant: str, **dims: int) -> dict[str, np.ndarray]:
  """Synthetic weights of a variant of the release, shapes as in golden I.

  Args:
    variant: 'AVLnet', 'AVLnet-Text-Tri' or 'AVLnet-Text-Fused'.
    **dims: `embd_dim` and `video_dim`, where they are not the released ones.
  """
  described = json.loads(find('state_dict.json').read_text())[variant]
  checks = json.loads(find('weights.json').read_text())['weights']
  released = described['net']
  resized = released | dims
  embd, released_embd = resized['embd_dim'], released['embd_dim']
  sizes = {released_embd: embd, released_embd // 2: embd // 2}
  keys = [key for key, *_ in described['keys']]
  weights = {}
  for key, released_shape, *_ in described['keys']:
    shape = [
      size if key.startswith('DAVEnet.') else sizes.get(size, size)
      for size in released_shape
    ]
    if key == 'GU_video.fc.weight':
      shape[1] = resized['video_dim']
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


def _db_audio(name, shape, nframes=None):
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
  'db_audio': _db_audio,
  'unit_audio': _unit_audio,
  'words': _words,
  'frames': _frames,
}


def make_input(recipe: dict) -> np.ndarray:
  """The array of `json['sub'][...]['inputs'][role]`, checked by its crc32."""
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
