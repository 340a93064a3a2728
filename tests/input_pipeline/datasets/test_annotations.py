"""The data sets' annotation files: valid ones, malformed ones, missing ones."""

import collections
import json

import pytest

from avl_jax.errors import UserError
from input_pipeline.datasets.clips import (
  annotations,
  crosstask,
  speech_splits,
)
from tests.helpers import annotated


def _read(name, folder):
  skipped = collections.defaultdict(list)
  module = crosstask if name == 'crosstask' else annotations
  clips = getattr(module, f'read_{name}')(
    folder, lambda reason, what: skipped[reason].append(what)
  )
  return clips, skipped


@pytest.fixture
def no_videos(monkeypatch):
  """Writes annotation files without videos."""
  monkeypatch.setattr(annotated, 'write_videos', lambda *_: None)
  monkeypatch.setattr(annotated, 'write_bad_videos', lambda *_: None)
  monkeypatch.setattr(annotated.media, 'write', lambda *_, **__: None)


@pytest.mark.parametrize(
  ('name', 'others', 'skipped'),
  [
    # Others: clips that turn out to be unusable when their videos are read.
    ('youcook2', len(annotated.BAD) + 1, {'too short': 1}),
    ('crosstask', 1, {'missing': 1, 'unsafe name': 1}),
    ('msrvtt', 1, {'missing': 1}),
    ('lsmdc', 1, {}),
    ('youcook_japanese', 0, {'too short': 1, 'missing': 1}),
  ],
)
def test_clips_that_are_read(tmp_path, no_videos, name, others, skipped):
  expected = getattr(annotated, name)(tmp_path)
  clips, found_skipped = _read(name, tmp_path)
  assert len(clips) == len(expected) + others
  found = {(c.split, c.id, c.video, c.start, c.end, c.captions) for c in clips}
  for split, clip, *rest in expected:
    assert (split, clip.partition('/')[0], *rest) in found
  assert {key: len(names) for key, names in found_skipped.items()} == skipped


def test_tasks_are_kept(tmp_path, no_videos):
  annotated.crosstask(tmp_path)
  annotated.youcook2(tmp_path)
  assert {c.task for c in _read('crosstask', tmp_path)[0]} == {'16815', '23521'}
  assert {c.task for c in _read('youcook2', tmp_path)[0]} == {'113'}


def test_training_clips_without_transcripts_are_by_people(tmp_path, no_videos):
  annotated.crosstask(tmp_path)
  (tmp_path / 'crosstask_constraints').rename(tmp_path / 'elsewhere')
  clips, skipped = _read('crosstask', tmp_path)
  train = [clip for clip in clips if clip.split == 'train']
  assert [(c.id, c.start, c.end) for c in train] == [('16815_vid-A_0', 0, 8)]
  assert train[0].captions == ('put on grill',)
  assert len(skipped['missing']) == 2


_YOUCOOK2 = {
  'database': {
    'v': {
      'subset': 'training',
      'recipe_type': '1',
      'annotations': [{'id': 0, 'segment': [0, 1], 'sentence': 'a'}],
    }
  }
}
_CHANGES = [  # (change of the annotation, expected message)
  (lambda d: d.pop('database'), "the file: Expected 'database', a dict"),
  (lambda d: d['database'].update(v=3), "v: Expected 'subset', a str"),
  (lambda d: d['database']['v'].pop('annotations'), "'annotations', a list"),
  (lambda d: d['database']['v']['annotations'][0].pop('id'), "Expected 'id'"),
  (
    lambda d: d['database']['v']['annotations'][0].update(segment=[1]),
    r'v_0: Expected \[start, end\] in seconds',
  ),
  (
    lambda d: d['database']['v']['annotations'][0].update(segment=[0, None]),
    'v_0: Expected a number',
  ),
  (
    lambda d: d['database']['v']['annotations'][0].update(segment=[-1, 2]),
    'v_0: Expected a number of at least 0, got -1',
  ),
  (
    lambda d: d['database']['v']['annotations'][0].update(
      segment=[0, float('nan')]
    ),
    'v_0: Expected a number',
  ),
  (
    lambda d: d['database']['v']['annotations'][0].update(sentence=7),
    "v_0: Expected 'sentence', a str",
  ),
]


@pytest.mark.parametrize(('change', 'message'), _CHANGES)
def test_youcook2_is_read_strictly(tmp_path, change, message):
  path = tmp_path / 'youcookii_annotations_trainval.json'
  data = json.loads(json.dumps(_YOUCOOK2))
  path.write_text(json.dumps(data))
  assert len(_read('youcook2', tmp_path)[0]) == 1
  change(data)
  path.write_text(json.dumps(data))
  with pytest.raises(UserError, match=rf'{path.name}: .*{message}'):
    _read('youcook2', tmp_path)


@pytest.mark.parametrize(
  ('name', 'file', 'content', 'message'),
  [
    (
      'youcook2',
      'annotations/youcookii_annotations_trainval.json',
      '{',
      '',
    ),
    (
      'youcook2',
      'annotations/youcookii_annotations_trainval.json',
      '[' * 99_999,
      'Expected JSON',
    ),
    (
      'crosstask',
      'crosstask_release/videos.csv',
      'a,b\n',
      'line 1: Expected 3',
    ),
    (
      'crosstask',
      'crosstask_release/tasks_primary.txt',
      '1\nt\nu\n2\none step\n',
      "task '1': Expected five lines",
    ),
    (
      'crosstask',
      'crosstask_release/annotations/16815_vidC.csv',
      '4,1,2\n',
      'a step from 1 to 3, got .4.',
    ),
    (
      'crosstask',
      'crosstask_release/annotations/16815_vidC.csv',
      '1,soon,2\n',
      "16815_vidC_0: Expected a number of at least 0, got 'soon'",
    ),
    ('msrvtt', 'MSRVTT_data.json', '{"videos": []}', "'sentences', a list"),
    (
      'msrvtt',
      'MSRVTT_data.json',
      '{"videos": [], "sentences": [{"video_id": "v"}]}',
      r"sentences\[0\]: Expected 'caption'",
    ),
    (
      'msrvtt',
      'MSRVTT_train.7k.csv',
      'id\nv\n',
      'Expected the columns video_id',
    ),
    (
      'msrvtt',
      'MSRVTT_JSFUSION_test.csv',
      'video_id,sentence\nv,a,b\n',
      'line 2: Expected 2 fields, got 3',
    ),
    ('lsmdc', 'LSMDC16_annos_training.csv', 'a\tb\n', 'Expected 6 fields'),
    ('lsmdc', 'LSMDC16_annos_training.csv', b'\xff\xfe\x00', 'a table'),
    (
      'youcook_japanese',
      'youcook_japanese_v1.json',
      '{}',
      "'train', a dict or",
    ),
    (
      'youcook_japanese',
      'youcook_japanese_v1.json',
      '{"train": {"v": [[0]]}, "val": {}, "eval": {}}',
      r'v_0: Expected \[start, end\]',
    ),
  ],
)
def test_other_files_are_read_strictly(
  tmp_path, no_videos, name, file, content, message
):
  getattr(annotated, name)(tmp_path)
  path = tmp_path / file
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  with pytest.raises(UserError, match=rf'{path.name}: .*{message}'):
    _read(name, tmp_path)


@pytest.mark.parametrize(
  ('name', 'file'),
  [
    ('youcook2', 'youcookii_annotations_trainval.json'),
    ('crosstask', 'tasks_primary.txt'),
    ('msrvtt', 'MSRVTT_data.json'),
    ('lsmdc', 'LSMDC16_annos_training.csv'),
    ('youcook_japanese', 'youcook_japanese_v1.json'),
  ],
)
def test_missing_files_are_named(tmp_path, name, file):
  with pytest.raises(UserError, match=f'no {file}.* in {tmp_path}'):
    _read(name, tmp_path)


def test_missing_lists_make_no_split(tmp_path, no_videos):
  annotated.msrvtt(tmp_path)
  (tmp_path / 'MSRVTT_train.9k.csv').unlink()
  assert {c.split for c in _read('msrvtt', tmp_path)[0]} == {'train_7k', 'test'}


def test_sounds_and_speech():
  counts = {f'quiet{i}': 0 for i in range(5)} | {f'loud{i}': i for i in (1, 2)}
  counts |= {f'talk{i}': 10 + i for i in range(9)} | {'elsewhere': 0}
  clips = counts.keys() - {'elsewhere'} | {'uncounted'}
  sounds, talk = speech_splits.sounds_and_speech(counts, clips)
  assert sounds == {f'quiet{i}' for i in range(5)}
  assert len(talk) == 5
  assert talk < clips - sounds - {'uncounted'}
  assert (sounds, talk) == speech_splits.sounds_and_speech(
    counts, sorted(clips)
  )
  # If more clips have few words than many, the ones with the fewest are taken.
  sounds, talk = speech_splits.sounds_and_speech(counts, clips, speech_words=13)
  assert talk == {f'talk{i}' for i in range(3, 9)}
  assert sounds == {f'quiet{i}' for i in range(5)} | {'loud1'}
  assert speech_splits.sounds_and_speech(counts, ['talk1']) == (set(), set())


@pytest.mark.parametrize('line', ['a,2', 'b,-1', 'b,many', 'b,1.5'])
def test_word_counts_are_read_strictly(tmp_path, line):
  path = tmp_path / 'words.csv'
  path.write_text('id,words\na,3\n')
  assert speech_splits.read_word_counts(path) == {'a': 3}
  path.write_text(f'id,words\na,3\n{line}\n')
  with pytest.raises(UserError, match=rf'words.csv: clip .{line[0]}.'):
    speech_splits.read_word_counts(path)
