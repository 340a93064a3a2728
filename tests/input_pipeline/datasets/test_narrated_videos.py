"""Generated narrated videos: bytes, truth against picture and sound, splits."""

import dataclasses
import hashlib
import itertools
import json
import shutil

import av
import numpy as np
import pytest

from avl_jax.errors import UserError
from avl_jax.features import SAMPLE_RATE, audio
from input_pipeline.datasets.narrated_videos import (
  generation,
  listing,
  pictures,
  preparation,
  settings,
  truth,
  voices,
)
from input_pipeline.datasets.own_videos import manifest
from input_pipeline.records import catalog, reader
from tests.helpers import narrated, own_folder

CHOSEN = settings.make('fr', narrated.SMALL)


@pytest.fixture(scope='module')
def folder(stamps_folder, tmp_path_factory):
  root = tmp_path_factory.mktemp('generated')
  return generation.generate(root, stamps_folder, CHOSEN)


@pytest.fixture(scope='module')
def truths(folder):
  return {
    path.stem: json.loads(path.read_bytes())
    for path in folder.glob('*_*_*.json')
  }


def _digests(folder):
  return {
    path.name: hashlib.sha256(path.read_bytes()).hexdigest()
    for path in folder.iterdir()
    if path.name != 'lock'
  }


def _pixels(path):
  with av.open(str(path)) as container:
    return np.stack([f.to_ndarray(format='rgb24') for f in container.decode(0)])


def _loudness(waveform, start, end):
  """RMS, dB below full scale."""
  part = waveform[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
  return 10 * np.log10(np.mean(np.square(part)) + 1e-12)


def test_videos_are_a_function_of_the_seed(folder, stamps_folder, tmp_path):
  again = generation.generate(tmp_path, stamps_folder, CHOSEN)
  assert again.name == folder.name
  assert _digests(again) == _digests(folder)
  names = {'manifest.csv', 'captions.csv', 'clips.csv', 'human.csv'}
  assert names <= _digests(folder).keys()
  one = {'num_videos': (1, 0, 0), 'num_clip_videos': (0, 0, 0)}
  other = dataclasses.replace(CHOSEN, seed=2, num_human_videos=0, **one)
  second = generation.generate(tmp_path, stamps_folder, other)
  assert second.name != folder.name
  video = 'untrimmed_train_0000.mp4'
  assert _digests(second)[video] != _digests(folder)[video]


def test_what_an_interruption_has_left_is_kept(
  folder, stamps_folder, tmp_path, monkeypatch
):
  again = tmp_path / folder.name
  again.mkdir()
  for path in folder.glob('*_*_*.*'):
    if 'human' not in path.name:
      (again / path.name).write_bytes(path.read_bytes())
  made = []
  write = generation.film.write
  monkeypatch.setattr(
    generation.film,
    'write',
    lambda path, *rest: (made.append(path.name), write(path, *rest)),
  )
  assert generation.generate(tmp_path, stamps_folder, CHOSEN) == again
  assert made == ['.human_test_0000.mp4']
  assert _digests(again) == _digests(folder)
  generation.generate(tmp_path, stamps_folder, CHOSEN)
  assert len(made) == 1


def test_files_are_h264_and_aac(folder, truths):
  assert len(truths) == 7
  for name, video in truths.items():
    with av.open(str(folder / f'{name}.mp4')) as container:
      codecs = [s.codec_context.name for s in container.streams]
      assert codecs == ['h264', 'aac']
      length = container.duration / 1e6
    assert length == pytest.approx(video['seconds'], abs=0.1)
    assert 5 <= video['seconds'] <= 7


def test_a_thing_is_where_the_truth_says(folder, stamps_folder, truths):
  """Its colour is in the middle of its box, and nowhere near before."""
  seen = 0
  for name, video in truths.items():
    frames = _pixels(folder / f'{name}.mp4')
    assert frames.shape[1:] == (video['height'], video['width'], 3)
    front = [s for s in video['showings'] if not s['clutter']]
    for showing in front:
      image = pictures.picture(stamps_folder / f'{showing["thing"]}.png')
      colour = np.array(image.getpixel((image.width // 2, image.height // 2)))
      for second, left, top, right, bottom, opacity in showing['seconds']:
        frame = frames[int((second + 0.5) * pictures.FRAME_RATE)].astype(int)
        x, y = (left + right) // 2, (top + bottom) // 2
        others = [
          row
          for other in video['showings']
          if other is not showing
          for row in other['seconds']
          if row[0] == second and row[1] < x < row[3] and row[2] < y < row[4]
        ]
        if others or opacity < 1:
          continue
        seen += 1
        inside = frame[y - 4 : y + 5, x - 4 : x + 5].mean((0, 1))
        assert np.abs(inside - colour[:3]).max() < 25, (name, second)
        assert right - left > 60 or bottom - top > 60
        before = frames[0, y, x].astype(int)
        if showing['start'] > 0.3 and np.abs(before - colour[:3]).max() > 60:
          assert np.abs(before - inside).max() > 30
  assert seen > 10


def test_names_are_heard_when_the_truth_says(folder, truths):
  """Speech and natural sounds are loud; the rest is the noise of a room."""
  for name, video in truths.items():
    waveform = audio.read_audio(folder / f'{name}.mp4')
    assert np.abs(waveform).max() <= 1
    assert video['namings']
    heard = np.zeros(len(waveform), bool)
    for sound in (*video['namings'], *video['sounds']):
      first, last = sound['start'] - 0.05, sound['end'] + 0.05
      heard[max(0, int(first * SAMPLE_RATE)) : int(last * SAMPLE_RATE)] = True
    rest = waveform[~heard]
    assert 10 * np.log10(np.mean(np.square(rest))) == pytest.approx(
      voices.ROOM, abs=3
    )
    for naming in video['namings']:
      loudness = _loudness(waveform, naming['start'], naming['end'])
      assert loudness == pytest.approx(voices.SPEECH, abs=2.5)
      assert naming['end'] - naming['start'] > 0.1
    spans = video['speech']
    assert all(a[1] < b[0] for a, b in itertools.pairwise(spans))


def test_captions_are_what_is_said(folder, truths):
  captions = manifest.read_captions(folder / 'captions.csv')
  assert captions.keys() == {n for n in truths if n.startswith('untrimmed')}
  for name, said in captions.items():
    assert [(c.start, c.end, c.text) for c in said] == [
      (n['start'], n['end'], n['caption']) for n in truths[name]['namings']
    ]
  for part in ('clips', 'human'):
    for item in manifest.read_manifest(folder / f'{part}.csv'):
      namings = truths[item.path.removesuffix('.mp4')]['namings']
      inside = dict.fromkeys(
        n['caption'].removesuffix('.')
        for n in namings
        if item.start <= n['start'] and n['end'] <= item.end
      )
      names = [name for name in inside if name in item.caption]
      assert names
      assert item.caption == ', '.join(names)


def test_prepares_as_own_videos(stamps_folder, tmp_path, truths):
  extractor = own_folder.Extractor()

  def prepare(part, options=narrated.SMALL, media_dir=str(stamps_folder)):
    preparation.prepare(
      f'narrated_videos/{part}_fr',
      data_dir=str(tmp_path),
      media_dir=media_dir,
      options=options,
      networks_of=lambda _: own_folder.NETWORKS,
      make_extractor=lambda: extractor,
    )

  for part in listing.MANIFESTS:
    prepare(part)
  videos = reader.Records(
    ('narrated_videos/untrimmed_fr',), ('train',), str(tmp_path)
  )
  (video,) = videos.read(range(len(videos)))
  told = truths['untrimmed_train_0000']
  assert video['id'].decode() == told['id']
  assert len(video['visual_2d']) == round(told['seconds'])
  assert [c.decode() for c in video['captions']] == [
    naming['caption'] for naming in told['namings']
  ]
  for part, count in (('clips', 3), ('human', 1)):
    records = catalog.load(f'narrated_videos/{part}_fr', str(tmp_path))
    folder = records.data_path
    lines = (folder / truth.TABLE).read_text('utf-8').splitlines()
    assert [json.loads(line) for line in lines] == [
      truths[json.loads(line)['id']] for line in lines
    ]
    assert len(lines) == count
    assert (folder / catalog.SYNTHETIC).exists()
    splits = {s: i.num_examples for s, i in records.info.splits.items()}
    clips = [
      (video['split'], clip)
      for video in truths.values()
      if video['part'] == part
      for clip in listing.clips(video)
    ]
    assert splits == {
      split: sum(s == split for s, _ in clips) for split, _ in clips
    }
  calls = len(extractor.calls)
  prepare('clips')
  assert len(extractor.calls) == calls
  with pytest.raises(UserError, match='of other settings'):
    prepare('clips', {**narrated.SMALL, 'seed': 7})
  # Without a folder of stamps the records are taken as they are.
  prepare('clips', media_dir='')
  assert len(extractor.calls) == calls
  other = shutil.copytree(stamps_folder, tmp_path / 'other')
  (other / 'things/thing3.wav').write_bytes(b'another natural sound')
  with pytest.raises(
    UserError, match=r'of other stamps than prepare\.media_dir'
  ):
    prepare('clips', media_dir=str(other))


def test_a_full_disk_is_one_message(stamps_folder, tmp_path):
  chosen = settings.make(
    'fr',
    narrated.SMALL
    | {
      'num_videos': (1, 0, 0),
      'num_clip_videos': (0, 0, 0),
      'num_human_videos': 0,
    },
  )
  digest = generation.stamps_digest(stamps_folder, 'fr')
  folder = generation.folder_of(tmp_path, chosen, digest)
  folder.mkdir()
  (folder / '.untrimmed_train_0000.mp4').symlink_to('/dev/full')
  with pytest.raises(UserError, match=r'0000\.mp4 cannot be written: No space'):
    generation.generate(tmp_path, stamps_folder, chosen)
