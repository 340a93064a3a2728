"""Generated narrated videos: bytes, truth against picture and sound, splits."""

import dataclasses
import hashlib
import itertools
import json

import av
import numpy as np
import pytest

import input_pipeline
from avl_jax.errors import ConfigError, UserError
from avl_jax.features import SAMPLE_RATE, audio
from configs import narrated_videos
from input_pipeline.datasets.narrated_videos import (
  casting,
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
from tests.helpers import own_folder

SMALL = {
  'num_videos': (1, 1, 1),
  'num_clip_videos': (1, 1, 1),
  'num_human_videos': 1,
  'lengths': (5.0, 7.0),
  'scene_lengths': (2.5, 3.5),
  'speech_share': 1.0,
  'sound_share': 1.0,
}
CHOSEN = settings.make('fr', SMALL)


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
      inside = {
        n['caption']
        for n in namings
        if item.start <= n['start'] and n['end'] <= item.end
      }
      assert set(item.caption.split(', ')) <= inside


def test_shift_and_share_of_speech(stamps_folder):
  """Without a shift all is named while it is shown; with one it is not."""
  stamps = generation.read_stamps(stamps_folder, 'fr')
  shares = {}
  for shift, share in ((0.0, 1.0), (5.0, 1.0), (0.0, 0.0), (0.0, 0.5)):
    chosen = settings.make(
      'fr',
      {
        'lengths': (300.0, 300.0),
        'shift': shift,
        'speech_share': share,
        'things_at_once': 1,
        'num_videos': (1, 0, 0),
      },
    )
    video = casting.cast(chosen, stamps)[0]
    script = generation.scripts.write(
      chosen,
      video,
      speak=lambda _: np.ones(4000, np.float32),
      natural_sound=lambda _: None,
    )
    told = truth.of_video(script, pictures.Stage(chosen, script))
    shown = np.mean([n['shown'] for n in told['namings'] or [{'shown': 0}]])
    scenes = {n['scene'] for n in told['namings']}
    shares[shift, share] = shown, len(scenes) / len(told['scenes'])
  assert shares[0.0, 1.0][0] > 0.95
  assert 0.1 < shares[5.0, 1.0][0] < 0.75
  assert shares[0.0, 1.0][1] == pytest.approx(1, abs=0.05)
  assert shares[0.0, 0.0][1] == 0
  assert 0.3 < shares[0.0, 0.5][1] < 0.7


def test_a_slow_voice_does_not_fall_behind(stamps_folder):
  stamps = generation.read_stamps(stamps_folder, 'fr')
  chosen = settings.make('fr', {'shift': 0.0, 'speech_share': 1.0})
  video = casting.cast(chosen, stamps)[0]
  script = generation.scripts.write(
    chosen,
    video,
    speak=lambda _: np.ones(3 * SAMPLE_RATE, np.float32),
    natural_sound=lambda _: None,
  )
  ends = {
    (showing.scene, showing.thing.name): showing.end
    for showing in script.showings
    if not showing.is_clutter
  }
  late = [n.start - ends[n.scene, n.thing.name] for n in script.namings]
  assert max(late) < 1
  assert len({n.scene for n in script.namings}) > 0.8 * len(video.scenes)


def test_splits_differ_in_voices_and_videos(stamps_folder):
  stamps = generation.read_stamps(stamps_folder, 'fr')
  casts = casting.cast(settings.make('fr', {}), stamps)
  assert len({cast.id for cast in casts}) == len(casts)
  used = {}
  for cast in casts:
    used.setdefault((cast.part, cast.split), set()).add(cast.voice)
  train = used['untrimmed', 'train']
  assert len(train) == 24
  assert used['human', 'test'] == {casting.VOLUNTEER}
  held_out = [v for key, v in used.items() if key != ('untrimmed', 'train')]
  assert all(not train & voices for voices in held_out)
  by_split = {}
  for (_, split), found in used.items():
    by_split.setdefault(split, set()).update(found)
  assert not by_split['train'] & by_split['val']
  assert not by_split['train'] & by_split['test']
  assert not by_split['val'] & by_split['test']
  shown = {
    part: {
      t.name
      for c in casts
      if c.part == part
      for s in c.scenes
      for t in s.things
    }
    for part in listing.MANIFESTS
  }
  assert shown['clips'] | shown['human'] <= shown['untrimmed']


@pytest.mark.parametrize('num_things', [1, 7, 0])
def test_the_videos_are_about_some_things(stamps_folder, num_things):
  stamps = generation.read_stamps(stamps_folder, 'fr')
  chosen = settings.make('fr', {'num_things': num_things})
  shown = {
    thing.name
    for cast in casting.cast(chosen, stamps)
    for scene in cast.scenes
    for thing in (*scene.things, *scene.clutter)
  }
  assert len(shown) == min(num_things or len(stamps), len(stamps))


@pytest.mark.parametrize('seed', range(3))
def test_the_default_gallery_has_300_clips(stamps_folder, seed):
  stamps = generation.read_stamps(stamps_folder, 'fr')
  chosen = settings.make('fr', {'seed': seed})
  scenes = sum(
    len(cast.scenes)
    for cast in casting.cast(chosen, stamps)
    if (cast.part, cast.split) == ('clips', 'test')
  )
  # 4.5 standard deviations below the number that is spoken on average.
  spoken = chosen.speech_share * scenes
  silent = 1 - chosen.speech_share
  assert spoken - 4.5 * (spoken * silent) ** 0.5 > 300


def test_prepares_as_own_videos(stamps_folder, tmp_path, truths):
  extractor = own_folder.Extractor()

  def prepare(part, options=SMALL):
    preparation.prepare(
      f'narrated_videos/{part}_fr',
      data_dir=str(tmp_path),
      media_dir=str(stamps_folder),
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
    prepare('clips', {**SMALL, 'seed': 7})


def test_options_are_checked():
  with pytest.raises(ConfigError, match=r"unknown key 'sed'\. Choose one of"):
    settings.make('fr', {'sed': 1})
  with pytest.raises(ConfigError, match=r'speech_share is 1\.5\. Expected 0'):
    settings.make('fr', {'speech_share': 1.5})
  with pytest.raises(ConfigError, match=r'num_videos is \(0, 1, 1\)'):
    settings.make('fr', {'num_videos': (0, 1, 1)})


def test_names_are_checked(tmp_path):
  with pytest.raises(
    input_pipeline.DataError, match=r"no config 'clips_en'.*human_el"
  ):
    input_pipeline.prepare(
      datasets=('narrated_videos/clips_en',), data_dir=str(tmp_path)
    )


def test_the_config_spells_out_the_defaults():
  options = narrated_videos.get_config('es').prepare.narrated
  made = settings.make('es', options)
  assert made == settings.Settings(language='es')
  assert len(options) == len(dataclasses.fields(made)) - 1
