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

import avl_jax
import main
from avl_jax.checkpoints import checkpointer, loading, metadata
from avl_jax.checkpoints.fingerprints import branch_fingerprint
from avl_jax.errors import ConfigError, UserError
from avl_jax.models import branches
from avl_jax.modes import search as search_mode
from avl_jax.search.query import backgrounds, confidence
from avl_jax.train import step as training_step
from tests.helpers.search.asked import best, first

pytestmark = pytest.mark.usefixtures('networks')


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
    expected = best(searcher, 'video', vector)
  top = found['answers'][0]
  assert (top['path'], top['start'], top['score']) == expected
  assert len(found['answers']) == 3
  assert (found['branch'], found['among']) == ('audio', 'video')
  assert found['nothing_fits'] is False  # Nothing can be said.
  assert top['chance'] is None
  assert top['is_there'] is True
  assert top['best_second'] in top['curve']['seconds']
  table = _search(run, good_index, f'--config.search.query={question}')
  assert table.startswith(f'Answers to {question}:')
  assert top['path'] in table.splitlines()[3]


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
  top = found['answers'][0]
  assert found['background']['count'] == 220
  chance = confidence.of_recordings(kept).by_chance(searcher.index, 'video')
  assert top['chance'] == np.mean(chance >= top['score'])
  assert again.items[0].chance == top['chance'] > 0
  assert again.items[0].share == top['share']
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
      assert first(found[workdir]) == best(searcher, 'video', vector)
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
