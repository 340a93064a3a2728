"""One bad file of several: the others are prepared, and the list names it."""

import errno
import json
import os
import pathlib
import pickle

import av
import numpy as np
import pytest
import soundfile

import input_pipeline
from avl_jax import torch_files
from avl_jax.backbones import efficientnet
from avl_jax.errors import UserError
from avl_jax.extraction import model_inputs
from avl_jax.extraction.video_features import Extraction
from avl_jax.features import MediaError, NetworkError, audio, images
from input_pipeline.datasets.clips import builder as clips
from input_pipeline.datasets.clips import from_pickles
from input_pipeline.datasets.spoken_captions import media as caption_media
from input_pipeline.datasets.videos import builder as videos
from input_pipeline.records import reader
from tests.helpers import (
  annotated,
  decoders,
  howto100m_files,
  media,
  places_files,
)

SURPRISES = {
  'bad0': RuntimeError('odd'),
  'bad1': AttributeError('odd'),
  'bad2': ValueError('odd'),
  'bad3': MemoryError('odd'),
  'bad4': RecursionError('odd'),
}
NAMES = ('good0', *SURPRISES, 'good1')


def _fail_for_some(monkeypatch, module, name, place=0, errors=SURPRISES):
  """The function raises for an argument that names one of `errors`."""
  real = getattr(module, name)

  def decode(*args, **kwargs):
    for bad, error in errors.items():
      if bad in str(args[place]):
        raise error
    return real(*args, **kwargs)

  monkeypatch.setattr(module, name, decode)


def _result(data_dir, name, split):
  """Ids of the records, and the content of skipped.json."""
  data = reader.Records((name,), (split,), str(data_dir))
  path = pathlib.Path(data_dir, name, '1.0.0/skipped.json')
  listed = json.loads(path.read_text())
  listed.pop('remarks')
  return [x.decode() for x in data.column('id')], listed


def _check(data_dir, name, split):
  """The good ones are there, and each bad one is listed with its error."""
  found, listed = _result(data_dir, name, split)
  assert len(found) == 2
  assert all(any(good in x for x in found) for good in ('good0', 'good1'))
  lines = '\n'.join(listed['unreadable']).splitlines()
  assert len(lines) == len(SURPRISES)
  for line, (bad, error) in zip(lines, SURPRISES.items(), strict=True):
    assert bad in line.split(':')[0]
    assert f'({type(error).__name__}: odd)' in line


def _extraction(folder, extractor=None):
  extractor = extractor or annotated.Extractor()
  return Extraction(
    extractor, extractor.widths, folder / 'extracted', decoders.InProcess()
  )


@pytest.fixture
def stubs(tmp_path, monkeypatch):
  """Files without a picture, which a stand-in for the decoder hears."""
  (tmp_path / 'videos').mkdir()
  for name in NAMES:
    (tmp_path / f'videos/{name}.mp4').write_bytes(name.encode())
  tone = np.sin(np.arange(8_000, dtype=np.float32))
  monkeypatch.setattr(audio, 'read_audio', lambda *_, **__: tone)
  return tmp_path


def _prepare_videos(folder, names, extraction):
  path = folder / howto100m_files.LIST
  path.write_text('\n'.join(['path', *(f'cat/{name}' for name in names)]))
  videos.Videos(
    config='howto100m',
    data_dir=folder,
    media_dir=str(folder),
    extraction=extraction,
  ).download_and_prepare()


@pytest.mark.parametrize('step', ['sound', 'picture'])
def test_videos(stubs, monkeypatch, step):
  if step == 'sound':
    _fail_for_some(monkeypatch, audio, 'read_audio')
  else:
    _fail_for_some(monkeypatch, annotated.Extractor, '__call__', place=1)
  _prepare_videos(stubs, NAMES, _extraction(stubs))
  _check(stubs, 'videos/howto100m', 'train')


def test_features_of_videos(tmp_path, monkeypatch):
  for name in NAMES:
    howto100m_files.write_video(tmp_path, name, 500)
  _fail_for_some(monkeypatch, torch_files, 'read_array')
  _prepare_videos(tmp_path, NAMES, None)
  _check(tmp_path, 'videos/howto100m', 'train')


def test_clips_of_videos(stubs, monkeypatch):
  times = '\t'.join(['00.00.51.926'] * 4)
  (stubs / 'LSMDC16_annos_training.csv').write_text(
    ''.join(f'{name}\t{times}\tA door opens.\n' for name in NAMES)
  )
  _fail_for_some(monkeypatch, audio, 'read_audio')
  clips.Clips(
    config='lsmdc',
    data_dir=stubs,
    media_dir=str(stubs),
    extraction=_extraction(stubs),
  ).download_and_prepare()
  _check(stubs, 'clips/lsmdc', 'train')


def test_clips_of_pickles(tmp_path, monkeypatch):
  features = {'audio': np.ones((40, 9)), '2d': np.ones(2048)}
  content = [{'id': x, '3d': np.ones(2048)} | features for x in NAMES]
  (tmp_path / 'lsmdc_train.pkl').write_bytes(pickle.dumps(content))
  _fail_for_some(monkeypatch, from_pickles, 'example_of')
  _prepare(tmp_path, 'clips/lsmdc')
  found, listed = _result(tmp_path, 'clips/lsmdc', 'train')
  assert sorted(found) == ['good0', 'good1']
  assert [line.partition(':')[0] for line in listed['unreadable']] == [
    f'lsmdc_train.pkl[{1 + index}]' for index in range(len(SURPRISES))
  ]


def _prepare(folder, name):
  input_pipeline.prepare(
    datasets=(name,), data_dir=str(folder), media_dir=str(folder)
  )


@pytest.mark.parametrize('what', ['sound', 'picture'])
def test_spoken_captions(tmp_path, monkeypatch, what):
  places_files.write(tmp_path, train=1)
  items = []
  for name in NAMES:
    wav, image = (tmp_path / f'{name}.{kind}' for kind in ('wav', 'jpg'))
    soundfile.write(wav, places_files.waveform(0), 16_000)
    places_files.draw(0).save(image)
    items.append({'uttid': name, 'wav': wav.name, 'image': image.name})
  path = tmp_path / 'metadata/val.json'
  places_files.write_list(path, items, audio_base_path='')
  reading = ('read_spectrogram', 'read_image_file')[what == 'picture']
  _fail_for_some(monkeypatch, caption_media, reading)
  _prepare(tmp_path, 'spoken_captions/places_en')
  found, listed = _result(tmp_path, 'spoken_captions/places_en', 'val')
  assert sorted(found) == ['good0', 'good1']
  for line, (bad, error) in zip(
    listed['unreadable'], SURPRISES.items(), strict=True
  ):
    assert line.startswith('metadata/val.json[')
    assert f'{bad}.wav with {bad}.jpg: ' in line
    assert f'({type(error).__name__}: odd)' in line


@pytest.mark.parametrize('what', ['sound', 'picture'])
def test_stamps(stamps_folder, tmp_path, monkeypatch, what):
  errors = {f'thing{20 + i}': e for i, e in enumerate(SURPRISES.values())}
  # Not the networks' turn: vectors of ones.
  monkeypatch.setattr(
    efficientnet, 'backbone', lambda: lambda x: np.ones((len(x), 1280))
  )
  module, name = (audio, 'read_audio')
  if what == 'picture':
    module, name = (images, 'read_image')
  _fail_for_some(monkeypatch, module, name, errors=errors)
  input_pipeline.prepare(
    datasets=('stamps/human_fr',),
    data_dir=str(tmp_path),
    media_dir=str(stamps_folder),
  )
  _, listed = _result(tmp_path, 'stamps/human_fr', 'train')
  lines = [line for line in listed['unreadable'] if 'odd' in line]
  for line, (bad, error) in zip(lines, errors.items(), strict=True):
    assert line.startswith(f'things/{bad}')
    assert f'({type(error).__name__}: odd)' in line


def test_what_is_no_fault_of_a_file_ends_the_work(stubs, monkeypatch):
  """A network, a network's width, a full disk."""

  class Wrong(annotated.Extractor):
    def __call__(self, path, start, end, frames):
      if path.stem == 'bad0':
        raise NetworkError('Out of memory.')
      features = super().__call__(path, start, end)
      if path.stem == 'bad1':
        features['visual_2d'] = features['visual_2d'][:, 1:]
      return features

  extraction = _extraction(stubs, Wrong())
  with pytest.raises(NetworkError, match='Out of memory') as caught:
    _prepare_videos(stubs, ['good0', 'bad0'], extraction)
  path = stubs / 'videos/bad0.mp4'
  assert f'The file was {path}.' in caught.value.__notes__
  with pytest.raises(NetworkError, match=r'bad1.mp4: .*shape \(8, 5\)'):
    _prepare_videos(stubs, ['good0', 'bad1'], extraction)

  replace = os.replace

  def fill(source, target):
    if str(target).endswith('.npz'):
      raise OSError(errno.ENOSPC, 'No space left on device')
    replace(source, target)

  monkeypatch.setattr(os, 'replace', fill)
  with pytest.raises(UserError, match='cannot be written: No space') as caught:
    _prepare_videos(stubs, ['good1'], extraction)
  assert not isinstance(caught.value, MediaError)


class _Pictures:
  """Reads the pictures, and makes features of their brightness."""

  def __init__(self):
    self.widths = {'visual_2d': 1}

  def __call__(self, path, start, end, frames):
    rows = [[frame.mean()] for frame in frames(1, 16, True, start, end)]
    return {'visual_2d': np.reshape(np.float32(rows), (-1, 1))}


def test_each_word_has_real_files(tmp_path, monkeypatch):
  """Silence: see the stamps. Time limits: where there are any."""
  folder = tmp_path / 'videos'
  tone = 0.3 * np.sin(np.arange(16_000) / 9)
  for name, seconds in (('good', 2), ('good2', 1), ('short', 0.25)):
    media.write(folder / f'{name}.mp4', tone, seconds=seconds)
  media.write(folder / 'mute.mp4', None, seconds=1)
  monkeypatch.setattr(media, 'WIDTH', 640)
  media.write(folder / 'strip.mp4', tone, seconds=1)
  with av.open(str(folder / 'blind.mp4'), 'w') as container:
    sound = container.add_stream('aac', rate=16_000, layout='mono')
    media.write_sound(container, sound, tone)
  (folder / 'garbled.mp4').write_bytes(b'no video' * 99)
  (folder / 'loop.mp4').symlink_to(folder / 'loop.mp4')
  (folder / 'empty.mp4').touch()
  names = ['good', 'short', 'mute', 'strip', 'blind', 'garbled', 'loop']
  names += ['empty', 'gone', '../up', 'a\0b', 'good', 'good2']
  extractor = _Pictures()
  extraction = Extraction(extractor, extractor.widths, tmp_path / 'extracted')
  _prepare_videos(tmp_path, names, extraction)
  found, listed = _result(tmp_path, 'videos/howto100m', 'train')
  assert sorted(found) == ['good', 'good2']
  assert {
    word: [line.split(':')[0] for line in lines]
    for word, lines in listed.items()
  } == {
    'no picture': ['cat/blind'],
    'no sound': ['cat/mute'],
    'too short': ['cat/short'],
    'unreadable': ['cat/empty', 'cat/garbled'],
    'refused': ['cat/strip'],
    'duplicate': ['cat/good'],
    'unsafe name': ['cat/../up', 'cat/a\0b', 'cat/loop'],
    'missing': ['cat/gone'],
  }


def test_a_users_file_is_named(tmp_path, monkeypatch):
  path = tmp_path / 'bad0.wav'
  path.write_bytes(b'a')
  _fail_for_some(monkeypatch, audio, 'read_audio')
  with pytest.raises(MediaError, match=r'bad0.wav: .*RuntimeError: odd'):
    model_inputs.spectrogram(path)
