"""The thesis' tables are filled from evaluation records only."""

import json

import numpy as np
import pytest

from avl_jax.errors import UserError
from avl_jax.reports import reproduction, thesis_tables


def _result(evaluation, recalls, data='f00d', task='audio -> video', **more):
  names = ('R@1', 'R@5', 'R@10', 'median_rank')
  return {
    'evaluation': evaluation,
    'task': task,
    'subset': 'val',
    'queries': 3350,
    'gallery': 3350,
    'data': data,
    **dict(zip(names, recalls, strict=True)),
    **more,
  }


def _record(root, name, rows, **facts):
  known = {'recipe': 'avlnet', 'checkpoint': name, 'data': 'howto'}
  known |= {'step': 9, 'examples': 900_000, 'visual_width': 4096}
  facts = known | facts
  path = root / name / 'evaluation.json'
  path.parent.mkdir(parents=True)
  path.write_text(json.dumps({'facts': facts, 'rows': rows}))


def _cells(root, label, data, direction='audio → video'):
  """Cells of the page's rows of a model on a data set."""
  reproduction.write(root)
  lines = (root / 'thesis.md').read_text().replace('\\', '').splitlines()
  return [
    [cell.strip() for cell in line.strip('|').split('|')]
    for line in lines
    if line.startswith(f'| {label} | {data} | {direction} |')
  ]


def test_a_cell_is_the_mean_of_its_seeds(tmp_path):
  _record(tmp_path, 'a', [_result('youcook2', (0.2, 0.5, 0.6, 4))])
  _record(tmp_path, 'deep/b', [_result('youcook2', (0.3, 0.5, 0.64, 4))])
  # The same checkpoint twice is one seed.
  copy = [_result('youcook2', (0.3, 0.5, 0.64, 4))]
  _record(tmp_path, 'c', copy, checkpoint='deep/b')
  (cells,) = _cells(tmp_path, 'Zero-shot, AVLnet', 'YouCook2')
  assert cells[3:] == [
    '27.4 / 51.6 / 61.5',
    '25.0 / 50.0 / 62.0',
    '-2.4 ± 7.1 / -1.6 ± 0.0 / +0.5 ± 2.8',
    '2',
    '900,000 of 1,166,089',
    '3350 of 3350',
  ]
  # Table 5.1 has the same cell; the other direction was not run.
  assert _cells(tmp_path, 'HowTo100M', 'YouCook2')[0][4] == cells[4]
  (other,) = _cells(tmp_path, 'Zero-shot, AVLnet', 'YouCook2', 'video → audio')
  assert other[4:] == ['not run', '', '', '', '']
  (others,) = _cells(tmp_path, 'Random', 'YouCook2')[:1]
  assert others[3:5] == ['0.03 / 0.15 / 0.3', 'not ours']


@pytest.mark.parametrize(
  ('facts', 'data', 'reason'),
  [
    ({'data': 'synthetic-1'}, 'f00d', 'trained on made-up data'),
    ({'initial': 'a synthetic-1'}, 'f00d', 'trained on made-up data'),
    ({'initial': 'AVLnet.pth sha256:00'}, 'f00d', None),
    ({}, 'synthetic-1', 'evaluated on made-up data'),
    ({}, '', 'no fingerprint of the data evaluated on'),
    ({'checkpoint': ''}, 'f00d', 'no fingerprint of the checkpoint'),
    ({'recipe': ''}, 'f00d', 'no recipe'),
    ({'recipe': 'another'}, 'f00d', None),
    ({'visual_width': 1280}, 'f00d', 'features are 1280 wide'),
    ({'visual_width': 2048}, 'f00d', 'those of the thesis 4096'),
  ],
)
def test_records_that_never_fill_a_cell(tmp_path, facts, data, reason):
  rows = [_result('youcook2', (0.2, 0.5, 0.6, 4), data)]
  _record(tmp_path, 'a', rows, **facts)
  (cells,) = _cells(tmp_path, 'Zero-shot, AVLnet', 'YouCook2')
  assert (cells[4] == 'not run') == ('sha256' not in str(facts))
  page = (tmp_path / 'thesis.html').read_text()
  assert reason is None or reason in page


def test_damaged_records_are_named(tmp_path):
  for name, text in (('a', '{'), ('b', '[]'), ('c', '{"facts": 3}')):
    (tmp_path / name).mkdir()
    (tmp_path / name / 'evaluation.json').write_text(text)
  _cells(tmp_path, 'x', 'y')
  assert (tmp_path / 'thesis.md').read_text().count('cannot be read') == 3
  with pytest.raises(UserError, match='There is no folder'):
    reproduction.write(tmp_path / 'none')


def test_all_queries_are_taken_where_subsets_have_rows(tmp_path):
  rows = [
    _result('msrvtt', (0.1, 0.2, 0.3, 9), subset='x', queries=500),
    _result('msrvtt', (0.15, 0.3, 0.4, 9), queries=1000, gallery=968),
  ]
  _record(tmp_path, 'a', rows)
  (cells,) = _cells(tmp_path, 'Zero-shot, AVLnet', 'MSR-VTT')
  assert cells[4] == '15.0 / 30.0 / 40.0'
  assert cells[8] == '968 of 1000'


def test_examples_that_a_recipe_is_trained_on(tmp_path):
  assert thesis_tables.examples('avlnet/10%') == 116_608
  assert thesis_tables.examples('avlnet/10%/youcook2') == 9_586
  assert thesis_tables.examples('ablation/asr') == 1_166_089
  assert thesis_tables.examples('tri/lsmdc') == 101_079
  assert thesis_tables.examples('places/en/frozen') == 400_000
  assert thesis_tables.examples('scratch/places_ja') == 100_000
  # Without a step of training: imported weights, or a new text branch.
  _record(tmp_path, 'a', [_result('youcook2', (0.2, 0.5, 0.6, 4))], step=0)
  (cells,) = _cells(tmp_path, 'Zero-shot, AVLnet', 'YouCook2')
  assert cells[7:] == ['', '3350 of 3350']


def test_the_curve_of_shares(tmp_path):
  reproduction.write(tmp_path)
  assert not list(tmp_path.rglob('*.png'))
  for i, share in enumerate((2, 10, 100)):
    recipe = 'avlnet' if share == 100 else f'avlnet/{share}%'
    rows = [_result('youcook2', (0.1, 0.2, 0.3 + 0.1 * i, 4))]
    _record(tmp_path, f'r{share}', rows, recipe=recipe)
  (cells,) = _cells(tmp_path, '10 %, zero-shot', 'YouCook2')
  assert cells[3:6] == ['a plot', '40.0', '']
  (figure,) = tmp_path.rglob('shares*.png')
  assert figure.read_bytes()[:4] == b'\x89PNG'
  assert '50.0 % at 100 %' in (tmp_path / 'thesis.md').read_text()


def test_the_rows_of_chance():
  for table in thesis_tables.TABLES:
    for row in table.rows:
      size = thesis_tables.GALLERIES[row.evaluation]
      if row.label == 'Random' and size:
        for numbers in row.targets:
          assert np.allclose(
            numbers[:3], 100 * np.array([1, 5, 10]) / size, atol=0.006
          )


def test_the_printed_numbers():
  """The number of values of each table; the two misprints are noted."""
  tables = {}
  for table in thesis_tables.TABLES:
    assert table.rows
    for row in table.rows:
      assert row.evaluation in thesis_tables.NAMES
      for numbers in row.targets:
        assert len(numbers) == len(table.metrics)
        recalls = numbers[:3] if len(numbers) > 1 else ()
        if recalls != (17.2, 26.6, 46.6):
          assert list(recalls) == sorted(recalls)
        tables.setdefault(table.title[:9], []).extend(numbers)
  sizes = {name: len(numbers) for name, numbers in tables.items()}
  assert sizes == {
    'Table 3.1': 18,
    'Table 3.2': 30 * 6,
    'Table 3.3': 56,
    'Table 3.4': 8,
    'Table 4.1': 4 * (15 * 2 + 5 + 5 + 7 + 6),
    'Table 4.2': 12,
    'Table 5.1': 60,
    'Table 5.2': 13 * 6,
    'Table 5.3': 36,
    'Figure 5-': 4,
  }
  notes = ' '.join(table.note for table in thesis_tables.TABLES)
  assert '75.3' in notes
  assert '26.6' in notes
