"""Indexes are asked: from the command line, from Python, by several runs."""

import contextlib
import functools
import io
import json
import shlex
import shutil
import types

import jax
import numpy as np
import pytest
import soundfile

import avl_jax
import main
from avl_jax.checkpoints import checkpointer, loading, metadata
from avl_jax.checkpoints.fingerprints import branch_fingerprint
from avl_jax.errors import ConfigError, UserError
from avl_jax.features import EmptyMediaError, MissingError, RefusedError
from avl_jax.models import branches
from avl_jax.modes import search as search_mode
from avl_jax.search import backgrounds, confidence, question_files
from avl_jax.train import step as training_step
from tests.helpers import own_folder

pytestmark = pytest.mark.usefixtures('networks')


@pytest.fixture(scope='module')
def question(tmp_path_factory):
  path = tmp_path_factory.mktemp('question') / 'question.wav'
  soundfile.write(path, own_folder.tone(3, 2), 16_000, subtype='FLOAT')
  return path


@pytest.fixture(scope='module')
def searcher(good_index):
  with avl_jax.load_index(good_index) as searcher:
    yield searcher


@pytest.fixture(scope='module')
def other_run(run, tmp_path_factory):
  """A run of another language: another audio branch, the same video branch."""
  return _changed(run, tmp_path_factory.mktemp('other'), 'audio')


def _changed(run, folder, branch):
  """A copy of a run in which a branch has other variables."""
  _, variables, description = loading.load(run)
  changed = jax.tree_util.tree_map_with_path(
    lambda path, x: (
      np.flip(x).copy()
      if branches.owns(branch, [key.key for key in path[1:]])
      else x
    ),
    variables,
  )
  described = metadata.describe(
    description['model'], description['visual_width'], 'made up'
  )
  zero = np.int32(0)
  with checkpointer.Checkpoints(folder, described) as checkpoints:
    checkpoints.save(training_step.TrainState(zero, changed, {}, zero), {})
  shutil.copy(run / 'config.json', folder)
  return folder


def _no_records(**_):
  raise UserError('There are no records.')


def _search(run, index, *arguments, eval_batches=_no_records):
  """What --mode=search prints."""
  _, config, workdir = main.read_arguments(
    [
      *('main.py', '--mode=search', f'--workdir={run}'),
      f'--config.search.index={index}',
      *arguments,
    ]
  )
  printed, others = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(others):
    pipeline = types.SimpleNamespace(eval_batches=eval_batches)
    search_mode.search(config, workdir, pipeline)
  return printed.getvalue()


def _best(searcher, name, vector):
  """Path, start and score of the best window, by a loop."""
  index = searcher.index
  rows = index.rows_with(name)
  scores = index.vectors(name, rows) @ vector
  window = index.window(int(rows[scores.argmax()]))
  return window.path, window.start, pytest.approx(scores.max(), rel=1e-4)


def _first(answers):
  first = answers.items[0]
  return first.path, first.start, first.score


def test_sound_is_asked_from_the_command_line(run, good_index, question):
  found = json.loads(
    _search(
      run,
      good_index,
      f'--config.search.query={question}',
      '--config.search.json=True',
      '--config.search.count=3',
    )
  )
  with avl_jax.load_index(good_index) as searcher:
    vector = avl_jax.embed(searcher.trained, audio=question)['audio'][0]
    expected = _best(searcher, 'video', vector)
  first = found['answers'][0]
  assert (first['path'], first['start'], first['score']) == expected
  assert len(found['answers']) == 3
  assert (found['branch'], found['among']) == ('audio', 'video')
  assert found['nothing_fits'] is False  # Nothing can be said.
  assert first['chance'] is None
  assert first['is_there'] is True
  assert first['best_second'] in first['curve']['seconds']
  table = _search(run, good_index, f'--config.search.query={question}')
  assert table.startswith(f'Answers to {question}:')
  assert first['path'] in table.splitlines()[3]


@pytest.mark.parametrize(
  'kind', ['stdin', 'bytes', 'array', 'stereo', 'vector']
)
def test_sound_may_have_no_file(kind, searcher, question, monkeypatch):
  expected = searcher.search(question)
  waveform, rate = soundfile.read(question, dtype='float32')
  options, query = {}, question.read_bytes()
  if kind == 'stdin':
    stdin = types.SimpleNamespace(buffer=io.BytesIO(query))
    monkeypatch.setattr('sys.stdin', stdin)
    query = '-'
  elif kind == 'array':
    query, options = (waveform * 2**15).astype(np.int16), {'rate': rate}
  elif kind == 'stereo':
    query, options = np.stack([0 * waveform, 2 * waveform], 1), {'rate': rate}
  elif kind == 'vector':
    query = avl_jax.embed(searcher.trained, audio=question)['audio'][0]
  found = searcher.search(query, **options)
  assert [item.path for item in found.items] == [
    item.path for item in expected.items
  ]
  np.testing.assert_allclose(
    [item.score for item in found.items],
    [item.score for item in expected.items],
    rtol=1e-3,
  )
  assert found.branch == ('' if kind == 'vector' else 'audio')


def test_a_stream_of_arecord_is_read(searcher, question):
  """Its header claims 2 GB, because its length was not known."""
  content = bytearray(_pcm(question))
  place = content.index(b'data') + 4
  content[4:8] = (2**31 + 36).to_bytes(4, 'little')
  content[place : place + 4] = (2**31 - 1).to_bytes(4, 'little')
  found = searcher.search(bytes(content))
  expected = searcher.search(question)
  assert _first(found)[:2] == _first(expected)[:2]
  assert _first(found)[2] == pytest.approx(_first(expected)[2], rel=1e-3)


def _pcm(path):
  waveform, rate = soundfile.read(path)
  buffer = io.BytesIO()
  soundfile.write(buffer, waveform, rate, 'PCM_16', format='WAV')
  return buffer.getvalue()


def test_a_clip_has_the_vector_of_its_window(searcher, good_media):
  """So a clip of an indexed video asks as the index holds it."""
  index = searcher.index
  for row in index.rows_of('long.mp4')[:2]:
    window = index.window(int(row))
    clip = f'{good_media / "long.mp4"}@{window.start:g}-{window.end:g}'
    found = question_files.FileQuestions(searcher.trained, searcher._decoder)(
      clip
    )
    (expected,) = index.vectors('video', [row])
    np.testing.assert_allclose(found.vector, expected, rtol=1e-4, atol=1e-5)
    assert (found.name, found.branch) == (clip, 'video')


def test_pictures_ask_for_sound_and_videos_for_either(searcher, good_media):
  picture = good_media / 'sub/picture.png'
  vector = avl_jax.embed(searcher.trained, image=picture)['video'][0]
  found = searcher.search(picture, answers='audio')
  assert _first(found) == _best(searcher, 'audio', vector)
  assert found.among == 'audio'
  video = good_media / 'a.mp4'
  found = searcher.search(video, part='sound', answers='audio')
  vector = avl_jax.embed(searcher.trained, audio=video)['audio'][0]
  assert found.branch == 'audio'
  assert _first(found) == _best(searcher, 'audio', vector)
  assert found.items[0].curve is None or 'audio' in found.among
  assert searcher.search(video).branch == 'video'


def test_background_questions_are_the_validation_recordings(
  run, good_index, question
):
  """They are kept, so that Python has them too."""
  rng = np.random.default_rng(0)
  batch = {
    'spectrogram': rng.uniform(-80, 0, (230, 16, 40)).astype(np.float32),
    'num_frames': np.full(230, 16, np.int32),
    'subset': np.array(['val'] * 220 + ['other'] * 10),
  }

  def eval_batches(evaluations, **_):
    assert list(evaluations) == ['validation']
    return {'validation': [batch]}

  ask = (f'--config.search.query={question}', '--config.search.json=True')
  try:
    found = json.loads(
      _search(run, good_index, *ask, eval_batches=eval_batches)
    )
    with avl_jax.load_index(good_index) as searcher:
      kept = backgrounds.read(run, searcher.model)
      again = searcher.search(question, threshold=0.0)
    assert backgrounds.read(run, 'another') is None
  finally:
    (run / backgrounds.FILE).unlink()
  assert kept.shape == (220, 16)
  first = found['answers'][0]
  assert found['background']['count'] == 220
  chance = confidence.of_recordings(kept).seconds(searcher.index, 'video')
  assert first['chance'] == np.mean(chance >= first['score'])
  assert again.items[0].chance == first['chance'] > 0
  assert again.items[0].share == first['share']
  assert again.nothing_fits


def test_an_index_is_asked_in_two_languages(
  run, other_run, good_index, question
):
  """Each run embeds the question with its own audio branch."""
  found = {}
  for workdir in (run, other_run):
    with avl_jax.load_index(good_index, workdir) as searcher:
      vector = avl_jax.embed(avl_jax.load(workdir), audio=question)['audio'][0]
      found[workdir] = searcher.search(question, count=3)
      assert _first(found[workdir]) == _best(searcher, 'video', vector)
      picture = searcher.search(vector, answers='audio')
      assert picture.items
  scores = [[item.score for item in each.items] for each in found.values()]
  assert not np.allclose(*scores, rtol=0.1)
  with (
    avl_jax.load_index(good_index, other_run) as searcher,
    pytest.raises(UserError, match=r'audio vectors .* another model'),
  ):
    searcher.search(question, answers='audio')


def test_a_run_of_another_video_branch_is_refused(
  run, good_index, good_media, question, tmp_path
):
  folder = _changed(run, tmp_path / 'run', 'video')
  with pytest.raises(UserError) as refusal:
    _search(folder, good_index, f'--config.search.query={question}')
  text = str(refusal.value)
  ours, theirs = (_branch(each) for each in (run, folder))
  assert f'video branch: {ours} in the index, {theirs} in the run' in text
  command = text[text.index('python main.py') :].split(' ', 2)[2]
  _, config, workdir = main.read_arguments(['main.py', *shlex.split(command)])
  assert workdir == folder
  assert config.search.index == str(good_index)
  assert config.search.media_dir == str(good_media)
  assert config.search.names == ('video', 'audio')
  assert config.search.rebuild


def _branch(run):
  trained = avl_jax.load(run)
  return branch_fingerprint(trained.model, trained.variables)


def test_media_that_moved_away_still_answer(
  run, index_dir, good_media, question, tmp_path
):
  media_dir = shutil.copytree(good_media, tmp_path / 'media')
  ask = functools.partial(
    _search,
    run,
    index_dir,
    f'--config.search.query={question}',
    f'--config.search.media_dir={media_dir}',
  )
  before = ask()
  assert 'moved away' not in before
  (media_dir / 'long.mp4').unlink()
  after = ask()
  assert 'long.mp4 (moved away)' in after
  assert f'no longer in {media_dir}' in after
  assert after.count('\n1 ') == before.count('\n1 ')


def test_what_cannot_be_asked(
  searcher, question, good_media, tmp_path, monkeypatch
):
  silence = tmp_path / 'silence.wav'
  soundfile.write(silence, np.zeros(16_000), 16_000)
  odd = tmp_path / 'a@1-2'
  odd.write_bytes(b'no sound')
  for query, options, error, text in (
    (silence, {}, UserError, 'silence.wav: The peak'),
    (tmp_path / 'gone.wav', {}, MissingError, 'gone.wav'),
    (odd, {}, UserError, 'a@1-2'),
    ('a.mp4@5-3', {}, UserError, 'names no span'),
    ('a.mp4@1.2.3-4', {}, UserError, 'names no span'),
    (f'{good_media / "a.mp4"}@50-60', {}, UserError, 'a.mp4'),
    (good_media / 'mute.mp4', {'part': 'sound'}, UserError, 'mute.mp4'),
    (good_media / 'sub/picture.png', {'part': 'sound'}, UserError, 'picture'),
    (good_media / 'sound.flac', {'part': 'picture'}, UserError, 'by its name'),
    (None, {}, UserError, 'no question'),
    (None, {'words': 'un chat'}, UserError, 'takes no text'),
    (silence, {'words': 'un chat'}, UserError, 'two'),
    (np.zeros((2, 3)), {}, UserError, 'Expected a vector'),
    (np.full(16, np.nan), {}, UserError, 'Expected a vector'),
    (np.ones(15, np.float32), {}, ConfigError, r'\[1, 15\]'),
    (np.zeros((2, 3, 4)), {'rate': 16_000}, UserError, 'Expected .samples'),
    (np.zeros(99), {'rate': 3}, UserError, 'rate is 3'),
    (question, {'answers': 'sum'}, ConfigError, "no vectors 'sum'"),
  ):
    with pytest.raises(error, match=text):
      searcher.search(query, **options)
  for content, error in ((b'', EmptyMediaError), (b'12345', RefusedError)):
    monkeypatch.setattr(question_files, 'MOST_BYTES', 4)
    stdin = types.SimpleNamespace(buffer=io.BytesIO(content))
    monkeypatch.setattr('sys.stdin', stdin)
    with pytest.raises(error, match='Standard input'):
      searcher.search('-')


def test_settings_of_the_mode(run, good_index, tmp_path):
  with pytest.raises(ConfigError, match=r'search.query is .* one of them'):
    _search(run, good_index)
  with pytest.raises(ConfigError, match=r'search\.index'):
    _search(run, '', '--config.search.query=a.wav')
  with pytest.raises(UserError, match='holds no index'):
    _search(run, tmp_path / 'none', '--config.search.query=a.wav')


def test_an_index_says_whose_it_is(run, index_dir, tmp_path):
  with avl_jax.load_index(index_dir) as searcher:
    assert searcher.workdir == run
  (index_dir / 'run.json').write_text(
    json.dumps({'workdir': str(tmp_path / 'gone')})
  )
  with pytest.raises(UserError, match='gone, which made the index'):
    avl_jax.load_index(index_dir)
  (index_dir / 'run.json').unlink()
  with pytest.raises(UserError, match='does not say which run'):
    avl_jax.load_index(index_dir)
  assert avl_jax.load_index(index_dir, run).workdir == run
