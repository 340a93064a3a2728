"""Casts and scripts of narrated videos: voices, things, times, sounds."""

import collections

import numpy as np
import pytest

from avl_jax.features import SAMPLE_RATE
from input_pipeline.datasets.narrated_videos import (
  casting,
  generation,
  listing,
  pictures,
  settings,
  truth,
  voices,
)


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


def _script(stamps_folder, options, natural_sound=lambda _: None):
  """Of a video of five minutes, in which all names have a quarter second."""
  stamps = generation.read_stamps(stamps_folder, 'fr')
  options = {'lengths': (300, 300), 'num_videos': (1, 0, 0), **options}
  chosen = settings.make('fr', options)
  script = generation.scripts.write(
    chosen,
    casting.cast(chosen, stamps)[0],
    speak=lambda _: np.full(4000, 0.1, np.float32),
    natural_sound=natural_sound,
  )
  return chosen, script


@pytest.mark.parametrize(('things', 'clutter'), [(1, 0), (2, 3), (4, 10)])
def test_how_much_is_shown_at_once(stamps_folder, things, clutter):
  options = {'things_at_once': things, 'clutter': clutter}
  _, script = _script(stamps_folder, options)
  counts = {is_clutter: collections.Counter() for is_clutter in (True, False)}
  for showing in script.showings:
    counts[showing.is_clutter][showing.scene] += 1
  assert max(counts[False].values()) == things
  assert min(counts[False].values()) == 1
  assert max(counts[True].values(), default=0) == clutter


@pytest.mark.parametrize('share', [0.0, 0.5, 1.0])
def test_natural_sounds_are_heard(stamps_folder, share):
  """So many of the things have theirs, at the level of natural sounds."""
  sound = np.sin(np.arange(8000) / 3).astype(np.float32)
  sound *= 10 ** (voices.NATURAL / 20) / np.sqrt(np.mean(np.square(sound)))
  chosen, script = _script(
    stamps_folder,
    {'sound_share': share, 'speech_share': 0, 'things_at_once': 1},
    lambda _: sound,
  )
  things = [s for s in script.showings if not s.is_clutter]
  assert len(script.sounds) / len(things) == pytest.approx(share, abs=0.2)
  assert bool(script.sounds) == (share > 0)
  assert not script.namings
  waveform = voices.mix(chosen, script)
  for heard in script.sounds:
    first, last = (round(x * SAMPLE_RATE) for x in (heard.start, heard.end))
    power = np.mean(np.square(waveform[first:last]))
    assert 10 * np.log10(power) == pytest.approx(voices.NATURAL, abs=1)


def test_the_stamps_own_sounds_are_natural_sounds(stamps_folder):
  stamps = generation.read_stamps(stamps_folder, 'fr')
  with_sound = [s for s in stamps if voices.natural_sound(s) is not None]
  assert [stamp.name for stamp in with_sound] == ['things/thing3']


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
