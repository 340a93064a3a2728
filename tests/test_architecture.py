"""Allowed and circular imports, sizes, and where TensorFlow is imported."""

import ast
import functools
import pathlib
import subprocess
import sys
from collections.abc import Iterable, Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[1]
# From top to bottom: a package imports from its own level and from lower ones.
FLOORS = {
  'avl_jax': (
    ('__init__',),
    ('modes',),
    ('search',),
    ('trained_model',),
    ('reports',),
    ('train',),
    ('config_checks',),
    ('checkpoints', 'retrieval'),
    ('models',),
    ('extraction',),
    ('backbones',),
    ('features', 'torch_files', 'parallel', 'multihost', 'files', 'config'),
    ('layers', 'losses', 'later_keys'),
    ('errors', 'logs'),
  ),
  'avl_jax/checkpoints': (
    ('loading',),
    ('checkpointer',),
    ('storage', 'metadata', 'manifest'),
  ),
  'input_pipeline': (
    ('__init__',),
    ('prepare', 'batches', 'metric_writer'),
    ('transforms', 'datasets'),
    ('records',),
    ('schema',),
  ),
}
# Packages of avl_jax that input_pipeline imports from.
OPEN_TO_PIPELINE = (
  *('backbones', 'errors', 'extraction', 'features', 'files', 'logs'),
  'torch_files',
)
# What reading records imports neither directly nor through another module.
MAKING = (
  *('input_pipeline.datasets', 'input_pipeline.prepare'),
  *('avl_jax.backbones', 'avl_jax.extraction'),
)
TENSORFLOW = {'tensorflow', 'tensorflow_datasets', 'clu.metric_writers'}
FLAGS = {'absl.flags', 'absl.app', 'argparse', 'ml_collections.config_flags'}
COLLECTIVES = {
  *('pmap', 'pmean', 'psum', 'pmax', 'pmin', 'ppermute', 'all_gather'),
  *('all_to_all', 'psum_scatter', 'axis_index', 'shard_map'),
}
# Lines of a file, lines of a function.
LIMITS = {'tests': (400, 60)}
LIMIT = (250, 60)
LONG = {  # file -> why it may be longer
  'avl_jax/reports/thesis_tables.py': 'data: the tables of the thesis',
}
PRELOADED = """
import os, sys
import av, flax.linen, jax, librosa, matplotlib, ml_collections, optax
import orbax.checkpoint, PIL.Image, scipy.fft, soundfile
failed = []
for name in sys.argv[1:]:
  child = os.fork()
  if not child:
    __import__(name)
    os._exit(3 if 'tensorflow' in sys.modules else 0)
  if os.waitpid(child, 0)[1]:
    failed.append(name)
sys.exit(' '.join(failed) or 0)
"""


def files(*folders: str) -> list[pathlib.Path]:
  """Python files below folders, relative to the root."""
  return sorted(
    path.relative_to(ROOT)
    for folder in folders
    for path in (ROOT / folder).rglob('*.py')
  )


PACKAGES = files('avl_jax', 'input_pipeline')
ALL = [pathlib.Path('main.py'), *PACKAGES]
ALL += files('benchmarks', 'configs', 'tests')


def name_of(path: pathlib.Path) -> str:
  """'avl_jax.train.loop' of its file; of `__init__.py`, the package."""
  parts = path.with_suffix('').parts
  return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


MODULES = {name_of(path): path for path in PACKAGES}


@functools.cache
def parsed(path: pathlib.Path) -> ast.Module:
  return ast.parse((ROOT / path).read_text())


def imported(path: pathlib.Path) -> Iterator[str]:
  """Dotted names that a file imports anywhere, symbols included."""
  for node in ast.walk(parsed(path)):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


@functools.cache
def arrows() -> dict[str, set[str]]:
  """Module -> modules of ours that it imports."""
  return {
    name: {target for i in imported(path) if (target := module(i))} - {name}
    for name, path in MODULES.items()
  }


def module(dotted: str) -> str | None:
  """The module of ours that a dotted name is in; None: of others."""
  if dotted in MODULES:
    return dotted
  parent = dotted.rpartition('.')[0]
  return parent if parent in MODULES else None


def room(name: str, folder: str) -> str:
  """The package of a module below a folder: its first part, or '__init__'."""
  inside = name.split('.')[folder.count('/') + 1 :]
  return inside[0] if inside else '__init__'


def reached(start: str) -> set[str]:
  """Our modules that a module imports, directly or indirectly."""
  found, waiting = set(), [start]
  while waiting:
    for target in arrows()[waiting.pop()] - found:
      found.add(target)
      waiting.append(target)
  return found


def circle(graph: dict[str, set[str]]) -> list[str]:
  """A circle in a graph, if there is one."""
  done: set[str] = set()

  def visit(node: str, above: list[str]) -> list[str]:
    if node in above:
      return [*above[above.index(node) :], node]
    if node not in done:
      for target in sorted(graph.get(node, ())):
        if found := visit(target, [*above, node]):
          return found
      done.add(node)
    return []

  return next((found for n in sorted(graph) if (found := visit(n, []))), [])


@pytest.mark.parametrize('folder', FLOORS)
def test_no_arrow_runs_up(folder):
  floors = FLOORS[folder]
  height = {room: -i for i, floor in enumerate(floors) for room in floor}
  prefix = folder.replace('/', '.')
  found = 0
  for name, targets in arrows().items():
    if not f'{name}.'.startswith(f'{prefix}.'):
      continue
    if folder.count('/') and name == prefix:
      continue
    for target in targets:
      if not f'{target}.'.startswith(f'{prefix}.') or target == prefix:
        continue
      found += 1
      above, below = room(name, folder), room(target, folder)
      assert height[above] >= height[below], f'{name} imports {target}'
  assert found > 4


def test_nothing_imports_the_public_face():
  for path in ALL:
    names = {
      i for i in imported(path) if i in ('avl_jax.load', 'avl_jax.embed')
    }
    assert not names, path


def test_no_circles():
  assert circle({'a': {'b'}, 'b': {'c'}, 'c': {'b'}}) == ['b', 'c', 'b']
  assert not circle(arrows())
  for folder in ('avl_jax', 'input_pipeline'):
    rooms: dict[str, set[str]] = {}
    for name, targets in arrows().items():
      ours = {t for t in (name, *targets) if t.startswith(f'{folder}.')}
      if name in ours:
        rooms.setdefault(room(name, folder), set()).update(
          room(target, folder) for target in ours
        )
    rooms = {name: targets - {name} for name, targets in rooms.items()}
    assert len(rooms) > 3
    assert not circle(rooms)


def test_reading_does_not_import_making():
  rooms = ('batches', 'records', 'transforms')
  names = [
    name
    for name in MODULES
    if name.startswith(tuple(f'input_pipeline.{room}.' for room in rooms))
  ]
  assert len(names) > 12
  for name in names:
    making = {target for target in reached(name) if target.startswith(MAKING)}
    assert not making, f'{name} imports {making}'


@pytest.mark.parametrize('path', ALL, ids=str)
def test_who_imports_what(path):
  names = set(imported(path))
  roots = {name.split('.')[0] for name in names}
  top = path.parts[0]
  if top not in ('benchmarks', 'tests'):
    assert 'torch' not in roots
    assert not names & FLAGS or top == 'main.py'
  if top == 'avl_jax':
    assert not roots & {'configs', 'input_pipeline', 'main', 'tests'}
    assert not _starts(names, TENSORFLOW)
  if top == 'input_pipeline':
    assert not roots & {'configs', 'main', 'tests'}
    ours = {name.split('.')[1] for name in names if name.startswith('avl_jax.')}
    assert ours <= set(OPEN_TO_PIPELINE)
  if top == 'configs':
    assert roots <= {'configs', 'ml_collections', 'typing'}
  if top in ('avl_jax', 'input_pipeline', 'configs', 'main.py'):
    attributes = {
      node.attr
      for node in ast.walk(parsed(path))
      if isinstance(node, ast.Attribute)
    }
    attributes |= {name.rpartition('.')[2] for name in names}
    allowed: Iterable[str] = ()
    if path.name == 'batch_norm.py':  # Statistics over the devices.
      allowed = ('pmean', 'psum')
    elif path == pathlib.Path('avl_jax/parallel.py'):
      allowed = COLLECTIVES
    assert attributes & COLLECTIVES <= set(allowed)


def _starts(names: Iterable[str], packages: Iterable[str]) -> list[str]:
  return [n for n in names for p in packages if f'{n}.'.startswith(f'{p}.')]


@pytest.mark.parametrize('path', ALL, ids=str)
def test_sizes(path):
  lines, function = LIMITS.get(path.parts[0], LIMIT)
  text = (ROOT / path).read_text()
  if str(path) not in LONG and path.parts[0] != 'configs':
    assert text.count('\n') <= lines
  for node in ast.walk(parsed(path)):
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
      is_config = path.parts[0] == 'configs' and node.name == 'get_config'
      length = (node.end_lineno or node.lineno) - node.lineno + 1
      assert is_config or length <= function, node.name


def test_exceptions_are_needed():
  for path in LONG:
    assert (ROOT / path).read_text().count('\n') > LIMIT[0]


def test_every_module_imports_without_tensorflow():
  """Each in a process of its own, forked before anything of ours is there."""
  names = [name for name in MODULES if name.startswith('avl_jax')]
  assert len(names) > 60
  result = subprocess.run(
    [sys.executable, '-W', 'ignore', '-c', PRELOADED, *names],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.returncode == 0, result.stderr


def test_the_public_face_is_lazy():
  code = (
    'import sys, avl_jax; assert "jax" not in sys.modules; '
    'assert callable(avl_jax.load) and callable(avl_jax.embed)'
  )
  subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)
