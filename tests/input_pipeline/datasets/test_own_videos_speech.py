"""Clips of speech of own videos: what is found, how they are chosen."""

import csv
import hashlib

import numpy as np
import pytest

import input_pipeline
from avl_jax.errors import ConfigError, UserError
from avl_jax.features import SAMPLE_RATE, audio, speech_segments
from avl_jax.features.speech_segments import Span
from input_pipeline.datasets.own_videos import speech_clips, splits
from input_pipeline.datasets.own_videos.manifest import Item
from input_pipeline.datasets.own_videos.speech_clips import Choice
from input_pipeline.datasets.own_videos.tables import Line
from input_pipeline.records import reader
from tests.helpers import media, own_folder

NAME = 'own_videos/clips'
SPOKEN = {  # path -> stretches that are spoken; a video lasts 2 s more
  'a.mp4': ((1, 7),),
  'b.mp4': ((0.5, 6), (9, 15)),
  'c.mp4': ((1, 6.5), (8, 12)),
  'd.mp4': ((2, 3), (3.5, 8)),
  'e.mp4': ((1, 4),),
}
SHORT = Choice(lengths=(5.0, 50.0))


def _loud(waveform):
  """In place of a voice-activity model: speech is what is loud."""
  power = np.square(waveform[: len(waveform) // 512 * 512]).reshape(-1, 512)
  is_loud = (power.mean(1) > 0.01).astype(float)
  return speech_segments.runs(is_loud, len(waveform) / SAMPLE_RATE)


@pytest.fixture(autouse=True)
def calls(monkeypatch):
  """Lengths of the recordings in which speech was looked for."""
  found = []

  def find(waveform):
    found.append(len(waveform))
    return _loud(waveform)

  monkeypatch.setattr(speech_segments, 'find_speech', find)
  return found


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('speech') / 'media'
  for number, (name, spans) in enumerate(SPOKEN.items()):
    seconds = spans[-1][1] + 2
    waveform = own_folder.tone(number, seconds)
    times = np.arange(len(waveform)) / own_folder.RATE
    waveform *= sum((a <= times) & (times < b) for a, b in spans)
    media.write(folder / name, waveform, seconds=seconds)
  media.write(folder / 'mute.mp4', None, seconds=3)
  own_folder.age(folder)
  return folder


def _prepare(folder, data_dir, clips=SHORT, **options):
  return own_folder.prepare(
    folder, data_dir, kind='clips', clips=clips, **options
  )


def _table(data_dir):
  path = own_folder.records(data_dir, 'clips') / 'files.csv'
  with path.open(newline='', encoding='utf-8') as file:
    return [*csv.DictReader(file)]


def _read(data_dir, split):
  data = reader.Records((NAME,), (split,), str(data_dir))
  return {e['id'].decode(): e for e in data.read(range(len(data)))}


def test_records_are_the_stretches_of_speech(folder, tmp_path, calls, capsys):
  extractor = _prepare(folder, tmp_path)
  table = {row['id']: row for row in _table(tmp_path)}
  bad = {i: r for i, r in table.items() if r['status'] != 'ok'}
  assert {i: r['status'] for i, r in bad.items()} == {
    'e.mp4': 'too short',
    'mute.mp4': 'no sound',
  }
  assert bad['e.mp4']['reason'] == ('It has no stretch of speech of 5 to 50 s.')
  expected = [
    ('a.mp4', 1, 7),
    ('b.mp4', 0.5, 6),
    ('b.mp4', 9, 15),
    ('c.mp4', 1, 6.5),
    ('d.mp4', 2, 8),
  ]
  clips = {}
  for split in splits.NAMES:
    for name, example in _read(tmp_path, split).items():
      clips[name] = example
      assert table[name]['split'] == split
  assert len(clips) == len(expected)
  for name, (path, start, end) in zip(sorted(clips), expected, strict=True):
    assert name == f'{path}@{clips[name]["start"]:.2f}'
    assert clips[name]['start'] == pytest.approx(start, abs=0.07)
    assert clips[name]['end'] == pytest.approx(end, abs=0.07)
  first = clips[min(clips)]
  piece = audio.read_audio(
    folder / 'a.mp4', start=float(first['start']), end=float(first['end'])
  )
  whole = audio.log_mel_spectrogram(piece)
  length = len(first['spectrogram'])
  np.testing.assert_allclose(first['spectrogram'], whole[:length], atol=0.04)
  assert len(calls) == len(SPOKEN)
  assert len(extractor.calls) == len(expected)
  assert (
    '5 clips of speech in 4 videos. Chose 5 of 4' in capsys.readouterr().out
  )
  # A second run neither listens nor extracts.
  assert not _prepare(folder, tmp_path).calls
  assert len(calls) == len(SPOKEN)
  assert 'up to date' in capsys.readouterr().out
  # Other pauses make other clips of what was heard.
  _prepare(folder, tmp_path, Choice(pause=2.0))
  assert len(calls) == len(SPOKEN)
  names = [row['id'] for row in _table(tmp_path) if 'c.mp4@' in row['id']]
  (example,) = [
    e for s in splits.NAMES for i, e in _read(tmp_path, s).items() if i in names
  ]
  assert example['end'] == pytest.approx(12, abs=0.07)


def test_an_error_of_the_package_ends_the_work(folder, tmp_path, monkeypatch):
  def fail(waveform):
    raise UserError('There is no package.')

  monkeypatch.setattr(speech_segments, 'find_speech', fail)
  with pytest.raises(UserError, match='There is no package'):
    _prepare(folder, tmp_path)
  assert not (tmp_path / 'own_videos').exists()


def _videos(count):
  """Lines of whole videos, and their clips: one to nine of each."""
  lines, clips = [], {}
  for index in range(count):
    digest = hashlib.sha256(str(index).encode()).hexdigest()
    lines.append(Line(item=Item(id=f'v{index}', path='x'), digest=digest))
    clips[digest] = [
      Span(20.0 * k, 20.0 * k + 10) for k in range(1 + index % 9)
    ]
  return lines, clips


def _choose(lines, clips, choice):
  chosen = splits.divide(
    {line.digest: line.item.split for line in lines}, choice.held_out
  )
  for line in lines:
    line.split = chosen[line.digest]
  made = speech_clips.choose('clips', lines, clips, choice)
  return {line.item.id: line.item.split for line in made}


def test_splits_are_in_the_ratio_of_the_thesis_and_disjoint():
  lines, clips = _videos(1000)
  chosen = _choose(lines, clips, Choice())
  assert len(chosen) == sum(map(len, clips.values()))
  videos = {}
  for name, split in chosen.items():
    videos.setdefault(split, set()).add(name.partition('@')[0])
  assert sum(map(len, videos.values())) == 1000
  for split, share in (('train', 10), ('val', 3), ('test', 3)):
    assert abs(len(videos[split]) / 1000 - share / 16) < 0.04


def test_the_choice_is_a_function_of_list_and_seed():
  lines, clips = _videos(300)
  few = {'clips': (200, 60, 50)}
  chosen = _choose(lines, clips, Choice(**few))
  counts = [list(chosen.values()).count(split) for split in splits.NAMES]
  assert counts == [200, 60, 50]
  again = _choose(lines[::-1], clips, Choice(**few))
  assert again == chosen
  other = _choose(lines, clips, Choice(seed=2, **few))
  assert [list(other.values()).count(s) for s in splits.NAMES] == counts
  # A fifth of the clips is drawn: two seeds share about a fifth of theirs.
  assert 0.1 < len(chosen.keys() & other.keys()) / len(chosen) < 0.35
  # What is held out does not depend on the seed.
  places = {n.partition('@')[0]: s for n, s in chosen.items()}
  for name, split in other.items():
    assert places.get(name.partition('@')[0], split) == split


def test_a_draw_of_more_contains_that_of_fewer():
  lines, clips = _videos(100)
  few = _choose(lines, clips, Choice(clips=(100, 30, 30)))
  more = _choose(lines, clips, Choice(clips=(200, 60, 60)))
  assert few.items() <= more.items()


def test_what_cannot_be_cut_is_refused(folder, tmp_path):
  with pytest.raises(UserError, match="is 'speech', but the records are whole"):
    own_folder.prepare(folder, tmp_path, clips=SHORT)
  table = tmp_path / 'manifest.csv'
  table.write_text('id,path,start,end\nx,a.mp4,0,6\n')
  with pytest.raises(UserError, match=r'but .*manifest\.csv names clips'):
    _prepare(table, tmp_path)
  table.write_text('id,path\na,a.mp4\nb,b.mp4\ne,e.mp4\n')
  with pytest.raises(UserError, match='3: one to train on'):
    _prepare(f'{table}:{folder}', tmp_path)


def test_options_are_checked(tmp_path, folder):
  with pytest.raises(ConfigError, match=r'speech\.lengths is \(9.0, 5.0\)'):
    Choice(lengths=(9, 5))
  with pytest.raises(ConfigError, match=r'speech\.clips is \(10, 0, 3\)'):
    Choice(clips=(10, 0, 3))
  with pytest.raises(ConfigError, match=r'speech\.pause is -1'):
    input_pipeline.prepare(
      datasets=(NAME,),
      data_dir=str(tmp_path),
      media_dir=str(folder),
      segments='speech',
      speech={'pause': -1},
    )


def test_segments_of_other_data_sets_are_refused(tmp_path):
  with pytest.raises(ConfigError, match='has no own videos'):
    input_pipeline.prepare(
      datasets=('stamps/human_fr',), data_dir=str(tmp_path), segments='speech'
    )
