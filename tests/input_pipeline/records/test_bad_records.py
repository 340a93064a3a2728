"""Bad records are found, replaced reproducibly, counted and listed."""

import collections
import json
import threading

import numpy as np
import pytest

import input_pipeline
from avl_jax.features import clips
from input_pipeline.batches.sampler import BatchSampler
from input_pipeline.records import bad_records
from input_pipeline.records.bad_records import BadRecordError, BadRecords
from input_pipeline.records.reader import Records
from input_pipeline.records.splits import Needs
from input_pipeline.transforms import cutters
from tests.helpers import noise_dataset

SEED, BATCH, FRAMES, CLIPS = 5, 4, 100, 2
STEPS = 2 * noise_dataset.COUNT // BATCH  # two epochs, which have all records
AUGMENTATION = {'speed': (0.9, 1.1)}


def _train(data_dir, config='faulty', **changes):
  arguments = {
    'datasets': (f'noise/{config}',),
    'split': 'train',
    'batch_size': BATCH,
    'clips_per_example': CLIPS,
    'num_frames': FRAMES,
    'augmentation': {},
    'distinct_groups': True,
    'seed': SEED,
    'data_dir': str(data_dir),
  }
  return input_pipeline.train_batches(**arguments | changes)


def _index(name):
  return int(name.removeprefix('vidéo '))


def _equal(batch, other):
  assert batch.keys() == other.keys()
  for key in batch:
    np.testing.assert_array_equal(batch[key], other[key])


@pytest.mark.parametrize('with_waveform', [False, True])
def test_every_fault_has_its_reason(noise_records, with_waveform):
  records = Records(('noise/faulty',), ('train',), str(noise_records))
  faults = noise_dataset.FAULTS | (
    noise_dataset.AUDIO_FAULTS if with_waveform else {}
  )
  names = [name.decode() for name in records.column('id')]
  found = records.read_checked(
    range(noise_dataset.COUNT), Needs(waveform=with_waveform)
  )
  reasons = {}
  for index, (name, example) in enumerate(zip(names, found, strict=True)):
    if isinstance(example, BadRecordError):
      reasons[_index(name)] = example.record['reason']
      assert example.record['id'] == name
      assert example.record['index'] == index
      assert f'{name!r}, of' in str(example)
    else:
      assert ('waveform' in example) == with_waveform
  assert reasons == {index: reason for index, (reason, *_) in faults.items()}


@pytest.mark.parametrize('shape', [(0, 40), (9, 39), (9,), (1, 9, 40)])
def test_wrong_shapes_of_a_spectrogram(shape):
  example = noise_dataset.example(0)
  assert not bad_records.find_defect(example)
  example['spectrogram'] = np.zeros(shape, np.float16)
  assert bad_records.find_defect(example) == 'spectrogram not [T, 40]'


def test_a_substitute_is_a_function_of_seed_epoch_and_index(noise_records):
  """Good records are not affected. Compared with a naive loop."""
  train = _train(noise_records)
  whole = _train(noise_records, 'whole')
  records = Records(('noise/faulty',), ('train',), str(noise_records))
  examples = records.read(range(noise_dataset.COUNT))
  ids = [_index(example['id'].decode()) for example in examples]
  groups = [example['group'] for example in examples]
  order = BatchSampler(noise_dataset.COUNT, BATCH, groups, SEED)
  for step in range(STEPS):
    batch, expected = train.batch(step), whole.batch(step)
    epoch, indices = order.batch(step)
    for place, index in enumerate(indices.tolist()):
      rows = slice(place * CLIPS, (place + 1) * CLIPS)
      if ids[index] not in noise_dataset.FAULTS:
        for key in batch:
          np.testing.assert_array_equal(batch[key][rows], expected[key][rows])
        continue
      chosen = next(
        i
        for i in order.substitutes(step, index)
        if ids[i] not in noise_dataset.FAULTS
      )
      starts = cutters.random_starts(
        noise_dataset.LENGTH,
        FRAMES,
        CLIPS,
        np.random.default_rng((SEED, epoch, index)),
      )
      for row, start in zip(range(BATCH * CLIPS)[rows], starts, strict=True):
        clip = clips.cut_clip(examples[chosen], start, FRAMES)
        assert _index(batch['id'][row]) == ids[chosen]
        np.testing.assert_array_equal(
          batch['spectrogram'][row], clip['spectrogram']
        )
        np.testing.assert_array_equal(batch['visual'][row], clip['visual'])
  assert len(train.bad_records) == len(noise_dataset.FAULTS)
  assert not len(whole.bad_records)


@pytest.mark.parametrize('augmentation', [{}, AUGMENTATION])
def test_substitutes_are_good_and_of_other_groups(noise_records, augmentation):
  train = _train(noise_records, augmentation=augmentation)
  faults = noise_dataset.FAULTS | (
    noise_dataset.AUDIO_FAULTS if augmentation else {}
  )
  seen = set()
  for step in range(STEPS):
    batch = train.batch(step)
    assert np.isfinite(batch['spectrogram']).all()
    assert np.isfinite(batch['visual']).all()
    ids = [_index(name) for name in batch['id'][::CLIPS]]
    assert len({index // 2 for index in ids}) == BATCH
    seen |= set(ids)
  assert seen == set(range(noise_dataset.COUNT)) - faults.keys()
  assert train.bad_records.counts == dict(
    sorted(
      collections.Counter(reason for reason, *_ in faults.values()).items()
    )
  )


def test_a_resumed_run_and_several_hosts_see_the_same(noise_records):
  unbroken = list(_train(noise_records).from_step(0, STEPS))
  resumed = _train(noise_records).from_step(STEPS // 3, STEPS)
  for batch, other in zip(resumed, unbroken[STEPS // 3 :], strict=True):
    _equal(batch, other)
  shares = zip(
    *(
      _train(noise_records, host=(host, 2)).from_step(0, STEPS)
      for host in range(2)
    ),
    strict=True,
  )
  for parts, whole in zip(shares, unbroken, strict=True):
    joined = {
      key: np.concatenate([part[key] for part in parts]) for key in whole
    }
    _equal(joined, whole)


def test_hosts_that_cannot_share_a_batch(noise_records):
  with pytest.raises(
    input_pipeline.DataError, match='batch of 4 cannot be shared by 3 hosts'
  ):
    _train(noise_records, host=(0, 3))


def test_an_unreadable_record_is_replaced(noise_records, damaged_records):
  """The first record of all, too. The other records are not affected."""
  path = noise_dataset.shard(damaged_records, 0)
  noise_dataset.flip(path, 200)
  plain = {'config': 'whole', 'distinct_groups': False}
  train, whole = (
    _train(damaged_records, **plain),
    _train(noise_records, **plain),
  )
  assert train.bad_records.counts == {'unreadable': 1}
  (name,) = Records(
    ('noise/whole',), ('train[:1]',), str(noise_records)
  ).column('id')
  for step in range(STEPS):
    batch, expected = train.batch(step), whole.batch(step)
    same = expected['id'] != name.decode()
    for key in batch:
      np.testing.assert_array_equal(batch[key][same], expected[key][same])
    assert name.decode() not in batch['id']
    assert len(set(batch['id'])) == BATCH
  assert len(train.bad_records) == 1
  grouped = _train(damaged_records, 'whole')
  for step in range(STEPS):
    ids = grouped.batch(step)['id'][::CLIPS]
    assert len({_index(other) // 2 for other in ids}) == BATCH


def test_a_resumed_run_continues_the_list(noise_records, tmp_path, capsys):
  path = tmp_path / 'run' / 'bad.json'
  first, met = _train(noise_records, bad_records_file=path), 0
  while len(first.bad_records) < 2:
    first.batch(met)
    met += 1
  before = json.loads(path.read_text())['records']
  assert 0 < len(before) < len(noise_dataset.FAULTS)
  second = _train(noise_records, bad_records_file=path)
  assert len(second.bad_records) == len(before)
  for _ in second.from_step(met, STEPS):
    pass
  listing = json.loads(path.read_text())
  reasons = {_index(r['id']): r['reason'] for r in listing['records']}
  expected = {
    index: reason for index, (reason, *_) in noise_dataset.FAULTS.items()
  }
  assert reasons == expected
  assert listing['counts'] == second.bad_records.counts
  assert sum(listing['counts'].values()) == len(expected)
  assert all(record in listing['records'] for record in before)
  said = capsys.readouterr().out
  for (
    index,
    reason,
  ) in expected.items():  # Each is printed once in the two runs.
    assert said.count(f"'vidéo {index}', of 'noise/faulty', split ") == 1
    assert f'is bad: {reason}; replaced' in said


def test_each_host_has_its_own_list(noise_records, tmp_path):
  listed = []
  for host in range(2):
    train = _train(
      noise_records, bad_records_file=tmp_path / 'bad.json', host=(host, 2)
    )
    for step in range(STEPS):
      train.batch(step)
    path = tmp_path / ('bad.json', 'bad_1.json')[host]
    listed.append(json.loads(path.read_text())['counts'])
    assert listed[-1] == train.bad_records.counts
  assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
  'content',
  [
    b'',
    b'{"records": [',
    b'\xff\xfe\x00',
    b'[1]',
    b'{"counts": {}}',
    b'{"records": [{"dataset": "d", "split": "s", "index": "1"}]}',
    b'{"records": [3]}',
  ],
)
def test_a_corrupt_list_is_replaced(tmp_path, content, capsys):
  path = tmp_path / 'bad.json'
  path.write_bytes(content)
  records = BadRecords(path, 1)
  assert not len(records)
  assert 'is not a list of bad records' in capsys.readouterr().out
  records.add(BadRecordError(_record(7)))
  assert json.loads(path.read_text()) == {
    'counts': {'odd': 1},
    'records': [_record(7)],
  }


def _record(index):
  return {'dataset': 'd', 'split': 's', 'index': index, 'reason': 'odd'}


def test_threads_count_each_record_once(tmp_path):
  path = tmp_path / 'bad.json'
  records = BadRecords(path, 20)

  def add():
    for index in range(20):
      records.add(BadRecordError(_record(index)))

  threads = [threading.Thread(target=add) for _ in range(8)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert json.loads(path.read_text())['records'] == [
    _record(index) for index in range(20)
  ]
  with pytest.raises(input_pipeline.DataError, match='21 bad records'):
    records.add(BadRecordError(_record(20)))


def test_too_many_end_the_run_with_their_reasons(noise_records, tmp_path):
  path = tmp_path / 'bad.json'
  options = {'bad_records_file': path, 'max_bad_records': 3}
  batches = _train(noise_records, **options).from_step(0, STEPS)
  with pytest.raises(input_pipeline.DataError) as error:
    for _ in batches:
      pass
  message = str(error.value)
  assert message.startswith(
    'Found 4 bad records, more than train_data.max_bad_records=3: '
  )
  counts = json.loads(path.read_text())['counts']
  assert ', '.join(f'{n} x {reason}' for reason, n in counts.items()) in message
  assert f'They are listed in {path}.' in message
  # A resumed run continues the count.
  with pytest.raises(input_pipeline.DataError, match='4 bad records, more'):
    _train(noise_records, **options)
  options['max_bad_records'] = len(noise_dataset.FAULTS)
  batches = _train(noise_records, **options).from_step(0, STEPS)
  assert len(list(batches)) == STEPS


def test_any_error_of_a_step_is_raised_in_its_place(noise_records, monkeypatch):
  train = _train(noise_records, 'whole')
  good, wrong = train.batch, ZeroDivisionError('one of its own')

  def batch(step):
    if step >= 3:
      raise wrong if step == 3 else ValueError(f'a later one: {step}')
    return good(step)

  monkeypatch.setattr(train, 'batch', batch)
  steps = []
  with pytest.raises(ZeroDivisionError) as error:
    collections.deque(map(steps.append, train.from_step(1, 9)))
  assert error.value is wrong
  for step, each in enumerate(steps, start=1):
    _equal(each, good(step))
  assert len(steps) == 2


def test_no_record_can_be_used(noise_records):
  names = Records(('noise/faulty',), ('train',), str(noise_records))
  bad = next(
    i
    for i, name in enumerate(names.column('id'))
    if _index(name.decode()) in noise_dataset.FAULTS
  )
  with pytest.raises(input_pipeline.DataError, match='No record can be used'):
    _train(noise_records, split=f'train[{bad}:{bad + 1}]', batch_size=1)


def _evaluate(data_dir, config='whole', split='train', **options):
  arguments = {'batch_size': 7, 'num_frames': 50, 'data_dir': str(data_dir)}
  evaluation = {'datasets': (f'noise/{config}',), 'splits': (split, 'test')}
  evaluation |= {'augmentation': options.pop('augmentation', {})}
  return input_pipeline.eval_batches(
    evaluations={'e': evaluation}, **arguments | options
  )['e']


@pytest.mark.parametrize('augmentation', [{}, AUGMENTATION])
def test_an_evaluation_refuses_a_bad_record(noise_records, augmentation):
  records = Records(('noise/faulty',), ('train',), str(noise_records))
  ids = [_index(name.decode()) for name in records.column('id')]
  faults = noise_dataset.AUDIO_FAULTS if augmentation else noise_dataset.FAULTS
  index = next(i for i, name in enumerate(ids) if name in faults)
  split = f'train[{index}:{index + 1}]'
  evaluation = _evaluate(
    noise_records, 'faulty', split, augmentation=augmentation
  )
  reason = faults[ids[index]][0]
  with pytest.raises(input_pipeline.DataError) as error:
    list(evaluation)
  assert str(error.value).startswith(
    f"Record 0, 'vidéo {ids[index]}', of 'noise/faulty', split {split!r}, "
    f'is bad: {reason}'
  )


@pytest.mark.parametrize('hosts', [2, 3, 5, 40])
def test_hosts_share_an_evaluation(noise_records, hosts):
  options = {'augmentation': AUGMENTATION, 'split': 'train[:31]'}
  whole = _evaluate(noise_records, **options)
  shares = [
    _evaluate(noise_records, host=(host, hosts), **options)
    for host in range(hosts)
  ]
  expected = _joined(whole)
  parts = [_joined(share) for share in shares]
  assert len({len(part['id']) for part in parts}) == 1
  joined = {key: np.concatenate([p[key] for p in parts]) for key in expected}
  assert whole.num_examples == len(expected['id']) == 35
  for key in expected:
    np.testing.assert_array_equal(joined[key][:35], expected[key])
  assert set(joined['id'][35:]) <= {expected['id'][-1]}
  for share in shares:
    assert share.num_examples == 35
    assert share.fingerprint == whole.fingerprint
    np.testing.assert_array_equal(share.subsets, whole.subsets)
    assert len(share.media) == 35


def _joined(batches):
  batches = list(batches)
  assert all(len(batch['id']) <= 7 for batch in batches)
  return {
    key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]
  }
