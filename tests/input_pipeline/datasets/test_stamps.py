"""The stamps' builder on a small tree with every kind of unusable media."""

import errno
import functools
import json
import os
import pathlib

import numpy as np
import pytest
import soundfile

import input_pipeline
from avl_jax.backbones import efficientnet
from avl_jax.errors import UserError
from avl_jax.features import audio, flac, images
from input_pipeline.datasets.stamps import narration, tuxpaint
from input_pipeline.records import reader

BAD = {f'wrong/thing{index}' for index in (100, 101, 102, 103, 104, 106, 107)}


def _read(data_dir, name, *splits):
  data = reader.Records((f'stamps/{name}',), splits, data_dir)
  return data.read(range(len(data)))


def _groups(data_dir, name, split):
  return {example['group'] for example in _read(data_dir, name, split)}


def test_a_record_equals_its_media(stamps_folder, stamps_records):
  example = _read(stamps_records, 'human_fr', 'train')[0]
  stem = stamps_folder / example['id'].decode().split('/human_fr')[0]
  waveform = audio.read_audio(f'{stem}_desc_fr.wav')
  np.testing.assert_allclose(
    flac.decode(example['audio']), waveform, atol=1 / 32768
  )
  np.testing.assert_array_equal(
    example['spectrogram'], audio.log_mel_spectrogram(waveform).astype('f2')
  )
  image = images.fit_square(images.read_image(stem.with_suffix('.png')))
  np.testing.assert_array_equal(images.read_image(example['image']), image)
  features = np.asarray(efficientnet.backbone()(np.stack([image] * 32)))[:1]
  np.testing.assert_allclose(example['visual_2d'], features, rtol=1e-4)
  assert example['captions'][0].decode().startswith('Un ')
  assert example['language'] == b'fr'
  assert example['source'].decode() == f'{stem.name}_desc_fr.wav'


def test_skipped_stamps_are_counted_and_listed(stamps_records):
  folder = pathlib.Path(stamps_records, 'stamps/human_fr/1.0.0')
  listed = json.loads((folder / 'skipped.json').read_text())
  assert not listed.pop('remarks')
  assert ': The peak is 0.0e+00' in listed['silent'][0]
  skipped = {
    reason: [name.split(':')[0].split('/human_fr')[0] for name in names]
    for reason, names in listed.items()
  }
  (duplicate,) = skipped.pop('duplicate')
  assert duplicate in ('things/thing0', 'wrong/thing105')
  assert skipped == {
    'silent': ['wrong/thing102'],
    'unreadable': [f'wrong/thing{index}' for index in (100, 101, 103)],
    'missing': ['wrong/thing104', 'wrong/thing107'],
    'no sound': ['wrong/thing106'],
  }
  examples = _read(stamps_records, 'human_fr', 'train', 'test', 'unseen_words')
  ids = {example['id'].decode().split('/human_fr')[0] for example in examples}
  assert not ids & BAD
  assert not any(name.startswith('symbols') for name in ids)
  # Of two stamps with the same caption, one is kept.
  assert len(ids & {'things/thing0', 'wrong/thing105'}) == 1
  assert len(ids) == 30


def test_nothing_leaks_between_splits(stamps_records):
  train, test, unseen = (
    _groups(stamps_records, 'human_fr', split)
    for split in ('train', 'test', 'unseen_words')
  )
  assert min(map(len, (train, test, unseen))) > 0
  assert not train & test
  assert not (train | test) & unseen
  narrated = _groups(stamps_records, 'narrated_fr', 'train')
  assert not narrated & unseen
  assert unseen <= _groups(stamps_records, 'narrated_fr', 'unseen_words')
  # Captions are narrated even if their recordings cannot be read.
  assert train | test < narrated
  assert narrated == _groups(stamps_records, 'narrated_fr', 'validation')


def test_ten_narrations_by_other_voices(stamps_records):
  examples = _read(stamps_records, 'narrated_fr', 'train')
  voices, sounds = {}, set()
  for example in examples:
    voice = example['source'].decode().split(' {')[0].split('+', 1)[1]
    voices.setdefault(example['group'], []).append(voice)
    sounds.add(example['audio'])
  assert all(len(set(voice)) == 10 for voice in voices.values())
  assert len(sounds) == len(examples) == 10 * len(voices)
  for split in ('validation', 'unseen_words'):
    for example in _read(stamps_records, 'narrated_fr', split):
      voice = example['source'].decode().split(' {')[0].split('+', 1)[1]
      assert voice in narration.VALIDATION_VOICES
      assert voice not in narration.TRAIN_VOICES


def test_natural_sounds(stamps_records):
  (example,) = _read(stamps_records, 'sounds', 'test')
  assert example['source'] == b'thing3.wav'
  assert example['captions'][0].startswith(b'A ')


def test_splits_depend_on_content_alone(stamps_folder, tmp_path):
  """File names, order and times do not change groups and splits."""
  for picture in (stamps_folder / 'things').glob('*.png'):
    number = int(picture.stem.removeprefix('thing'))
    for path in picture.parent.glob(f'{picture.stem}[._]*'):
      ending = path.name.removeprefix(picture.stem)
      (tmp_path / f'z{999 - number}{ending}').write_bytes(path.read_bytes())

  def splits(folder):
    return {
      stamp.captions['fr']: (stamp.group, tuxpaint.split_of(stamp))
      for stamp in tuxpaint.read_stamps(folder)
    }

  assert splits(tmp_path) == splits(stamps_folder / 'things')
  assert len(splits(tmp_path)) == 30


def test_stamps_that_share_anything_share_a_group(tmp_path, stamps_folder):
  for path in (stamps_folder / 'things').glob('thing[123][._]*'):
    (tmp_path / path.name).write_bytes(path.read_bytes())
  one, two, three = (tmp_path / f'thing{i}' for i in (1, 2, 3))
  two.with_suffix('.png').write_bytes(one.with_suffix('.png').read_bytes())
  recording = (tmp_path / 'thing2_desc_es.wav').read_bytes()
  (tmp_path / 'thing3_desc_es.wav').write_bytes(recording)
  assert len({s.group for s in tuxpaint.read_stamps(tmp_path)}) == 1
  soundfile.write(tmp_path / 'thing3_desc_es.wav', np.ones(99) / 3, 16000)
  assert len({s.group for s in tuxpaint.read_stamps(tmp_path)}) == 2
  assert three.with_suffix('.png').exists()


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('stamps/human_xx', 'human_fr'),
    ('howto100m', 'configs/stamps.py'),
  ],
)
def test_unknown_data_sets(tmp_path, name, message):
  with pytest.raises(input_pipeline.DataError, match=message):
    input_pipeline.prepare(datasets=(name,), data_dir=str(tmp_path))


def test_a_folder_without_stamps(tmp_path):
  with pytest.raises(UserError, match='no stamps in'):
    input_pipeline.prepare(
      datasets=('stamps/human_fr',),
      data_dir=str(tmp_path / 'records'),
      media_dir=str(tmp_path),
    )
  assert not list((tmp_path / 'records').rglob('*1.0.0*'))


@pytest.mark.slow
@pytest.mark.parametrize('error', [OSError, RuntimeError])
def test_a_full_disk_leaves_no_records(
  stamps_folder, tmp_path, monkeypatch, capsys, error
):
  """Writers raise either kind of error, always with the system's message."""
  written, encode = [], flac.encode

  def fill(waveform):
    if len(written) == 12:
      message = os.strerror(errno.ENOSPC)
      raise error(errno.ENOSPC, message) if error is OSError else error(message)
    written.append(waveform)
    return encode(waveform)

  monkeypatch.setattr(flac, 'encode', fill)
  prepare = functools.partial(
    input_pipeline.prepare,
    datasets=('stamps/human_fr',),
    data_dir=str(tmp_path),
    media_dir=str(stamps_folder),
  )
  with pytest.raises(input_pipeline.DataError, match=r'is full\. No '):
    prepare()
  monkeypatch.undo()
  assert not list(tmp_path.rglob('*array_record*'))
  prepare()
  count = len(_read(str(tmp_path), 'human_fr', 'train'))
  assert count > 3
  printed = capsys.readouterr().out
  assert f'stamps/human_fr train: {count} of ' in printed
