"""Nothing flows back: who may import whom, and where devices are known."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
OURS = {'avl_jax', 'configs', 'input_pipeline', 'main', 'tests'}
TENSORFLOW = {'tensorflow', 'tensorflow_datasets'}
FLAGS = {'absl.flags', 'absl.app', 'argparse', 'ml_collections.config_flags'}
COLLECTIVES = {'pmap', 'psum', 'all_gather', 'axis_index', 'shard_map'}
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
    allowed = ('avl_jax.features', 'avl_jax.backbones', 'avl_jax.release')
    for name in imports:
      if name.startswith('avl_jax') and name != 'avl_jax.UserError':
        assert name.startswith(allowed)
  if room == 'configs':
    assert roots <= {'configs', 'ml_collections'}
  if path.name != 'parallel.py':
    names = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    assert not names & (
      COLLECTIVES - {'psum'} if 'davenet' in path.name else COLLECTIVES
    )


def test_the_files_are_found():
  assert len(FILES) > 20
