"""Places Audio's formats as records, and protection against malicious ones."""

import json
import os
import pathlib

import numpy as np
import pytest
import soundfile
from PIL import Image

import input_pipeline
from avl_jax.errors import UserError
from avl_jax.features import RefusedError, audio, flac
from input_pipeline.datasets.spoken_captions import lists, media
from input_pipeline.records import reader
from tests.helpers import places_files


def _prepare(media_dir, data_dir, language='en'):
  input_pipeline.prepare(
    datasets=(f'spoken_captions/places_{language}',),
    data_dir=str(data_dir),
    media_dir=str(media_dir),
  )


def _read(data_dir, split='val', language='en'):
  data = reader.Records(
    (f'spoken_captions/places_{language}',), (split,), str(data_dir)
  )
  assert data.fingerprint.startswith('synthetic-')
  return {x['id'].decode(): x for x in data.read(range(len(data)))}


def _skipped(data_dir, language='en'):
  path = f'spoken_captions/places_{language}/1.0.0/skipped.json'
  return json.loads(pathlib.Path(data_dir, path).read_text())


@pytest.mark.parametrize('language', ['en', 'ja', 'hi'])
def test_records_hold_the_files(tmp_path, capsys, language):
  places_files.write(tmp_path, language, train=2, val=3)
  _prepare(tmp_path, tmp_path / 'records', language)
  found = _read(tmp_path / 'records', language=language)
  japanese = language == 'ja'
  for index in range(2, 5):
    name = f'caption{index}'
    example = found[
      f'wavs/{name}.wav' if japanese else f'speaker{index % 3}-{name}'
    ]
    image = tmp_path / f'images/a/{name}.jpg'
    assert example['image'] == image.read_bytes()
    assert example['group'].decode() == f'images/a/{name}.jpg'
    assert example['language'].decode() == language
    waveform, _ = soundfile.read(tmp_path / f'wavs/{name}.wav', dtype='float32')
    np.testing.assert_array_equal(
      example['spectrogram'],
      audio.log_mel_spectrogram(waveform).astype(np.float16),
    )
    heard = [caption.decode() for caption in example['captions']]
    assert heard == ([] if japanese else [f'there are {index} of them'])
  assert len(_read(tmp_path / 'records', 'train', language)) == 2
  printed = capsys.readouterr().out
  expected = '399,998' if language == 'en' else '99,998'
  assert f'train: 2 of 2 captions of the list, {expected} fewer' in printed
  assert 'val: 3 of 3 captions of the list, 997 fewer' in printed
  skipped = _skipped(tmp_path / 'records', language)
  assert skipped['remarks']['val: captions fewer than expected'] == [
    '3 of 1,000'
  ]


def test_images_may_lie_elsewhere(tmp_path):
  places_files.write(tmp_path / 'audio', train=1, val=2)
  (tmp_path / 'audio/images').rename(tmp_path / 'images')
  both = f'{tmp_path}/audio{os.pathsep}{tmp_path}'
  _prepare(both, tmp_path / 'records')
  assert len(_read(tmp_path / 'records')) == 2


def test_twenty_seconds_are_kept(tmp_path):
  noise = np.random.default_rng(0).normal(0, 0.01, 16_000 * 25)
  noise[-8_000:] *= 20  # The loudest part is after the first 20 s.
  path = tmp_path / 'long.wav'
  soundfile.write(path, noise, 16_000)
  waveform, _ = soundfile.read(path, dtype='float32')
  found = media.read_spectrogram(path)
  whole = audio.log_mel_spectrogram(waveform)
  np.testing.assert_array_equal(found, whole[:2_000].astype(np.float16))
  assert found.max() < -10


def test_lengths_that_no_header_knows(tmp_path, monkeypatch):
  """FLAC from a pipe, and a WAV whose recorder died."""
  sine = np.sin(np.arange(48_000) / 5) / 4
  soundfile.write(tmp_path / 'whole.wav', sine, 16_000)
  expected = media.read_spectrogram(tmp_path / 'whole.wav')
  wav = bytearray((tmp_path / 'whole.wav').read_bytes())
  place = wav.index(b'data') + 4
  wav[place : place + 4] = bytes(4)
  unknown = bytearray(flac.encode(sine))
  unknown[21] &= 0xF0  # 36 bits of the number of samples
  unknown[22:26] = bytes(4)
  folder = pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b'/caf\xe9'))
  folder.mkdir()
  for name, content in (('zero.wav', wav), ('unknown.flac', unknown)):
    path = folder / name
    path.write_bytes(content)
    found = media.read_spectrogram(path)
    assert found.shape == (301, 40)
    np.testing.assert_allclose(found, expected, atol=2)
    with monkeypatch.context() as patched:
      patched.setattr(media, 'LONGEST', 2)
      with pytest.raises(RefusedError, match='longer than 2 s'):
        media.read_spectrogram(path)


def test_null_means_nothing(tmp_path):
  path = tmp_path / 'list.json'
  nulls = dict.fromkeys(['uttid', 'asr_text', 'speaker'])
  item = {'wav': 'a.wav', 'image': 'b.jpg', **nulls}
  path.write_text(
    json.dumps({'image_base_path': None, 'audio_base_path': '', 'data': [item]})
  )
  (caption,) = lists.read_list(path)
  assert caption == lists.Caption(id='a.wav', wav='a.wav', image='b.jpg')


def test_malicious_entries_are_skipped(tmp_path):
  """Paths that lead out of the folder, and files of the wrong kind."""
  root = tmp_path / 'media'
  places_files.write(root, train=1)
  secret = tmp_path / 'secret.wav'
  soundfile.write(secret, places_files.waveform(0), 16_000)
  Image.new('RGB', (9, 9)).save(tmp_path / 'secret.jpg')
  (root / 'wavs/link.wav').symlink_to(secret)
  (root / 'link').symlink_to(tmp_path)
  os.mkfifo(root / 'wavs/pipe.wav')
  good = places_files.write_item(root, 50)
  wrong = {
    'unsafe name': [
      {'wav': '../../secret.wav'},
      {'wav': str(secret)},
      {'wav': 'link.wav'},
      {'image': 'link/secret.jpg'},
      {'image': 'images/../../secret.jpg'},
      {'wav': 'a\0b.wav'},
      *({'wav': 3}, {'image': ''}, {'image': None}, {'wav': ['x']}),
    ],
    'missing': [
      *({'wav': name} for name in ('none.wav', 'pipe.wav', 'a' * 300)),
      {'image': 'images'},
    ],
    'too short': [{'wav': 'headed.wav'}],
    'unreadable': [
      *({'wav': name} for name in ('empty.wav', 'garbled.wav')),
      {'image': 'wavs/garbled.wav'},
    ],
    'refused': [{'wav': 'endless.flac'}, {'image': 'images/wide.png'}],
  }
  (root / 'wavs/empty.wav').touch()
  soundfile.write(root / 'wavs/headed.wav', np.zeros(0), 16_000)
  (root / 'wavs/garbled.wav').write_bytes(b'RIFF but not really')
  soundfile.write(root / 'wavs/endless.flac', np.zeros(8_000 * 601), 8_000)
  Image.new('1', (2**15, 2**10)).save(root / 'images/wide.png')
  items = [good, dict(good)]
  items += [good | change for changes in wrong.values() for change in changes]
  places_files.write_list(root / 'metadata/val.json', [*items, 'nothing'])
  _prepare(root, tmp_path / 'records')
  skipped = _skipped(tmp_path / 'records')
  skipped['unsafe name'].pop()  # 'nothing'
  for reason, changes in wrong.items():
    assert len(skipped[reason]) == len(changes), (reason, skipped[reason])
  # The good one, and its second entry under a name of its own.
  found = _read(tmp_path / 'records')
  assert set(found) == {good['uttid'], f'{good["uttid"]}/1'}


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    ('[1]', r"not a list of spoken captions .*Expected DAVEnet's JSON"),
    ('{"data": 3}', 'data is not a list'),
    ('{"data": [], "image_base_path": 7}', 'a base path is not text'),
    ('[' * 100_000, 'RecursionError'),
    ('no json', 'JSONDecodeError'),
  ],
)
def test_malformed_lists_are_refused(tmp_path, content, message):
  places_files.write(tmp_path, train=1, val=1)
  (tmp_path / 'metadata/val.json').write_text(content)
  with pytest.raises(UserError, match=message):
    _prepare(tmp_path, tmp_path / 'records')
  assert not list((tmp_path / 'records').rglob('*1.0.0'))


@pytest.mark.parametrize('key', ['image_base_path', 'audio_base_path'])
@pytest.mark.parametrize('base', ['/data/sls/places', '..'])
def test_base_paths_outside_the_folder(tmp_path, key, base):
  places_files.write(tmp_path, train=1, val=1)
  items = [places_files.write_item(tmp_path, 1)]
  places_files.write_list(tmp_path / 'metadata/val.json', items, **{key: base})
  with pytest.raises(UserError, match=f'{key} of .*val.json.*leads out.*Set'):
    _prepare(tmp_path, tmp_path / 'records')
  # An absolute path that stays in the folder is accepted.
  right = tmp_path / ('wavs' if key.startswith('audio') else '')
  places_files.write_list(
    tmp_path / 'metadata/val.json', items, **{key: str(right)}
  )
  _prepare(tmp_path, tmp_path / 'records')
  assert len(_read(tmp_path / 'records')) == 1


def test_without_lists(tmp_path):
  with pytest.raises(UserError, match=r'metadata/train\.json.*media_dir'):
    _prepare(tmp_path, tmp_path / 'records')


def test_no_usable_caption_is_an_error(tmp_path):
  places_files.write(tmp_path, train=2)
  for image in (tmp_path / 'images/a').iterdir():
    image.unlink()
  with pytest.raises(
    UserError, match=r"None of the 2 captions.*'missing': 2.*caption.\.jpg"
  ):
    _prepare(tmp_path, tmp_path / 'records')
