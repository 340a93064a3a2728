"""The encoder in mteb's own classes, where the extra `mteb` is installed."""

import importlib
import pathlib

import numpy as np
import pytest

from avl_jax import trained_model
from avl_jax.config import write_config
from tests.helpers.small_run import make_run

pytestmark = pytest.mark.filterwarnings('default')
QUICK = ('YouCook2A2VRetrieval', 'MSRVTTT2VA', 'SpokenCOCOI2ARetrieval')
MOCKS = (
  'MockAny2AnyRetrievalA2ATask',
  'MockAny2AnyRetrievalT2ITask',
  'MockVideoAudioTextRetrievalVAT2T',
)
COUNT = 12


@pytest.fixture(scope='module')
def mteb_tasks():
  pytest.importorskip('mteb', reason='The extra `mteb` is not installed.')
  try:  # It needs FFmpeg's libraries, too.
    importlib.import_module('torchcodec.decoders')
  except (ImportError, OSError, RuntimeError) as error:
    pytest.skip(f'torchcodec cannot be imported: {error}')
  return importlib.import_module('benchmarks.mteb_tasks')


@pytest.fixture(scope='module')
def model(mteb_tasks, tmp_path_factory):
  """A fused model, which takes all modalities."""
  folder, config = make_run(
    tmp_path_factory.mktemp('run'), word_dim=8, fused=True
  )
  rng = np.random.default_rng(0)
  lines = [
    f'{word} {" ".join(map(str, rng.normal(size=8)))}\n'
    for word in (*mteb_tasks.WORDS, 'this', 'is', 'another')
  ]
  (folder / 'words.vec').write_text(''.join(lines))
  config.words.vectors = str(folder / 'words.vec')
  write_config(config, folder)
  return mteb_tasks.Recorder(folder, 'me/small')


@pytest.fixture(scope='module')
def examples(mteb_tasks, tmp_path_factory):
  return mteb_tasks.make_examples(tmp_path_factory.mktemp('media'), COUNT)


def _check(mteb_tasks, model, tasks):
  """Returns the nDCG@10 of each task, which must be equal to that here."""
  found = {}
  for name, theirs, ours in mteb_tasks.run(model, tasks):
    for key, value in ours.items():
      assert value == pytest.approx(theirs[key], abs=1.1e-5), (name, key)
    found[name] = ours['ndcg_at_10']
  return found


def test_tasks_of_the_scoreboard(mteb_tasks, model, examples, tmp_path):
  import mteb

  with mteb_tasks.replaced_data(examples, tmp_path):
    every = mteb.get_tasks(tasks=list(mteb_tasks.NAMES))
    assert {x.metadata.name for x in every} == set(mteb_tasks.NAMES)
    chosen = [x for x in every if x.metadata.name in QUICK]
    found = _check(mteb_tasks, model, chosen)
  assert sorted(found) == sorted(QUICK)
  assert all(0 < x < 1 for x in found.values())


def test_tasks_of_its_tests(mteb_tasks, model):
  from mteb.mocks import mock_tasks

  tasks = [getattr(mock_tasks, name)() for name in MOCKS]
  found = _check(mteb_tasks, model, tasks)
  assert len(found) == len(MOCKS)
  assert all(0 < x <= 1 for x in found.values())


def test_items_are_embedded_as_their_files(model, examples):
  columns = ('video', 'audio', 'image')
  rows = {name: [examples[i][name] for i in range(2)] for name in columns}
  files = {name: [x._hf_encoded for x in rows[name]] for name in columns[:2]}
  paths = [pathlib.Path(x['path']) for x in files['video']]
  expected = trained_model.embed(
    model._trained, video=paths, audio=[x['bytes'] for x in files['audio']]
  )
  for name, vectors in expected.items():
    found = model.encode([{name: rows[name]}], task_metadata=None)
    np.testing.assert_allclose(found, vectors, rtol=1e-5, atol=1e-6)
  expected = trained_model.embed(
    model._trained, image=[np.asarray(x) for x in rows['image']]
  )
  found = model.encode([{'image': rows['image']}], task_metadata=None)
  np.testing.assert_allclose(found, expected['video'], rtol=1e-5, atol=1e-6)
  assert np.abs(found[0] - found[1]).max() > 1e-4


def test_its_entry_is_kept_with_the_scores(
  mteb_tasks, model, examples, tmp_path
):
  import mteb

  assert model.mteb_model_meta.modalities == ['audio', 'image', 'video', 'text']
  with mteb_tasks.replaced_data(examples, tmp_path):
    tasks = mteb.get_tasks(tasks=['SpokenCOCOA2IRetrieval'])
    cache = mteb.ResultCache(tmp_path / 'results')
    mteb.evaluate(model, tasks, cache=cache, show_progress_bar=False)
  kept = {path.name for path in (tmp_path / 'results').rglob('*.json')}
  assert kept == {'SpokenCOCOA2IRetrieval.json', 'model_meta.json'}
