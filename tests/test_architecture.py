"""Nothing flows back: who may import whom, and where devices are known."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
OURS = {'avl_jax', 'configs', 'input_pipeline', 'main', 'tests'}
TENSORFLOW = {'tensorflow', 'tensorflow_datasets'}
FLAGS = {'absl.flags', 'absl.app', 'argparse', 'ml_collections.config_flags'}
COLLECTIVES = {
  *('pmap', 'pmean', 'psum', 'pmax', 'pmin', 'ppermute', 'all_gather'),
  *('all_to_all', 'psum_scatter', 'axis_index', 'shard_map'),
}
FILES = [
  path
  for folder in ('avl_jax', 'configs', 'input_pipeline', 'benchmarks')
  for path in sorted((ROOT / folder).rglob('*.py'))
]


def _imports(tree):
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows(path):
  room = path.relative_to(ROOT).parts[0]
  tree = ast.parse(path.read_text())
  imports = set(_imports(tree))
  roots = {name.split('.')[0] for name in imports}
  assert 'torch' not in roots or room == 'benchmarks'
  assert not imports & FLAGS or room == 'benchmarks'
  if room == 'avl_jax':
    assert roots & OURS <= {'avl_jax'}
    assert not roots & TENSORFLOW
  if room == 'input_pipeline':
    assert roots & OURS <= {'avl_jax', 'input_pipeline'}
    rooms = ('backbones', 'errors', 'extraction', 'features', 'files')
    allowed = tuple(f'avl_jax.{room}' for room in (*rooms, 'torch_files'))
    for name in imports:
      if name.startswith('avl_jax'):
        assert name.startswith(allowed)
  if room == 'configs':
    assert roots <= {'configs', 'ml_collections', 'typing'}
  names = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
  names |= {name.rpartition('.')[2] for name in imports}
  if path.name == 'batch_norm.py':  # BatchNorm's statistics over the devices
    assert names & COLLECTIVES == {'pmean', 'psum'}
  elif path.name != 'parallel.py':
    assert not names & COLLECTIVES


def test_the_files_are_found():
  assert len(FILES) > 20
