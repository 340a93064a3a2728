"""Writes synthetic images and spoken captions in Places Audio's formats."""

import json
import pathlib

import numpy as np
import soundfile
from PIL import Image

from input_pipeline.records import catalog

LISTS = {
  'en': {'train': 'metadata/train.json', 'val': 'metadata/val.json'},
  'ja': {
    split: f'PlacesAudioJpn_100k_image2audio_{name}.txt'
    for split, name in (('train', 'train'), ('val', 'valid'))
  },
  'hi': {
    split: f'PlacesHindi100k_{name}.json'
    for split, name in (('train', 'train'), ('val', 'dev'))
  },
}


def waveform(index: int) -> np.ndarray:
  """Makes a tone with its own pitch and length, at least 0.5 s."""
  times = np.arange(8_000 + 160 * index) / 16_000
  return 0.3 * np.sin(2 * np.pi * (200 + 45 * index) * times)


def draw(index: int) -> Image.Image:
  """Draws noise on a colour; some images are wide, some high, some small."""
  rng = np.random.default_rng(index)
  size = ((40, 30), (70, 100), (300, 260), (256, 256))[index % 4]
  noise = rng.integers(0, 60, (*size, 3)) + rng.integers(0, 196, 3)
  return Image.fromarray(noise.astype(np.uint8))


def write(
  folder: pathlib.Path, language: str = 'en', train: int = 8, val: int = 4
) -> None:
  """Writes a folder for `media_dir`, marked as synthetic."""
  for part in ('wavs', 'images/a', 'metadata'):
    (folder / part).mkdir(parents=True, exist_ok=True)
  (folder / catalog.SYNTHETIC).touch()
  for split, indices in (
    ('train', range(train)),
    ('val', range(train, train + val)),
  ):
    items = [write_item(folder, index) for index in indices]
    path = folder / LISTS[language][split]
    if language == 'ja':
      lines = [f'/{item["image"]} /wavs/{item["wav"]}' for item in items]
      path.write_text('\n'.join(lines) + '\n')
    else:
      write_list(path, items)


def write_item(folder: pathlib.Path, index: int) -> dict:
  """Writes an image and its caption; returns their entry of a list."""
  name = f'caption{index}'
  draw(index).save(folder / f'images/a/{name}.jpg', quality=95)
  soundfile.write(folder / f'wavs/{name}.wav', waveform(index), 16_000)
  return {
    'uttid': f'speaker{index % 3}-{name}',
    'speaker': f'speaker{index % 3}',
    'asr_text': f'there are {index} of them',
    'wav': f'{name}.wav',
    'image': f'images/a/{name}.jpg',
  }


def write_list(path: pathlib.Path, items: list, **bases: str) -> None:
  """Writes DAVEnet's JSON."""
  content = {'image_base_path': '', 'audio_base_path': 'wavs', 'data': items}
  path.write_text(json.dumps(content | bases))
