"""Damaged records: lost files are named, bad records replaced and counted."""

import json
import pathlib
import shutil

import pytest

from tests.faults.conftest import assert_one_message, assert_same_end
from tests.helpers.faulty_runs import Fault

SPLIT = 'input_pipeline.records.splits.Split.check'


@pytest.fixture
def records(stamps_records, tmp_path):
  """A copy of the records, to damage, and a function: files of a split."""
  data_dir = shutil.copytree(stamps_records, tmp_path / 'records')

  def files(dataset='narrated_fr', split='train'):
    found = pathlib.Path(data_dir).rglob(
      f'{dataset}/**/*-{split}.array_record*'
    )
    return sorted(found)

  return f'--config.data_dir={data_dir}', files


def _cut(path, size):
  path.write_bytes(path.read_bytes()[:size])


def _flip(path, place):
  content = bytearray(path.read_bytes())
  content[int(place * len(content))] ^= 16
  path.write_bytes(content)


# A block of the format has 64 KiB.
LOST = {
  'cut in a record': lambda path: _cut(path, path.stat().st_size // 2 + 77),
  'cut at a boundary': lambda path: _cut(path, 1 << 16),
  'emptied': lambda path: path.write_bytes(b''),
  'zeroed': lambda path: path.write_bytes(bytes(path.stat().st_size)),
  'missing': lambda path: path.unlink(),
}


@pytest.mark.slow
@pytest.mark.parametrize('damage', LOST)
def test_a_file_that_is_not_whole(damage, begin, records, tmp_path):
  data, files = records
  (path,) = files()
  LOST[damage](path)
  child = begin(tmp_path / 'run', data).wait()
  assert_one_message(child)
  assert str(path) in child.stderr
  assert not child.events('from')


@pytest.mark.slow
def test_a_flipped_bit_costs_one_record(begin, records, tmp_path):
  """The record is listed, and a resumed run replaces it by the same one."""
  data, files = records
  (path,) = files()
  _flip(path, 0.4)
  whole = tmp_path / 'whole'
  child = begin(whole, data).wait()
  assert child.exit_code == 0, child.stderr
  listed = json.loads((whole / 'bad_records.json').read_text())
  assert listed['counts'] == {'unreadable': 1}
  (record,) = listed['records']
  assert (record['dataset'], record['split']) == ('stamps/narrated_fr', 'train')
  broken = tmp_path / 'broken'
  kill = Fault('kill', 'avl_jax.parallel.pmap_step()', call=6)
  assert begin(broken, data, faults=[kill]).wait().exit_code == -9
  again = begin(broken, data).wait()
  assert again.exit_code == 0, again.stderr
  assert again.events('ids') == {
    step: ids for step, ids in child.events('ids').items() if step > again.first
  }
  assert_same_end(broken, whole)
  assert json.loads((broken / 'bad_records.json').read_text()) == listed


@pytest.mark.slow
def test_too_many_bad_records(begin, records, tmp_path):
  data, files = records
  (path,) = files()
  for place in (0.3, 0.5, 0.7):
    _flip(path, place)
  child = begin(
    tmp_path / 'run', data, '--config.train_data.max_bad_records=2'
  ).wait()
  assert_one_message(child)
  assert '3 bad records, more than' in child.stderr
  assert '3 x unreadable' in child.stderr


@pytest.mark.slow
def test_an_evaluation_replaces_nothing(begin, records, tmp_path):
  data, files = records
  (path,) = files(split='validation')
  _flip(path, 0.5)
  child = begin(tmp_path / 'run', data).wait()
  assert_one_message(child)
  assert "'stamps/narrated_fr', split 'validation', is bad" in child.stderr


@pytest.mark.slow
@pytest.mark.parametrize('number', ['nan', 'inf'])
@pytest.mark.parametrize('name', ['spectrogram', 'visual_2d'])
def test_stored_features_that_are_not_finite(name, number, begin, tmp_path):
  fault = Fault('spoil', SPLIT, call=0, value=(0, name, number))
  more = '--config.eval_data.evaluations={}'
  best = '--config.best_metric='
  child = begin(tmp_path / 'run', more, best, faults=[fault]).wait()
  assert child.exit_code == 0, child.stderr
  listed = json.loads((tmp_path / 'run' / 'bad_records.json').read_text())
  assert listed['counts'] == {f'{name} not finite': 1}
  assert [record['index'] for record in listed['records']] == [0]
