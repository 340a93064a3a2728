"""Allowed and circular imports, sizes, and where TensorFlow is imported."""

import ast
import functools
import pathlib
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping

import pytest

ROOT = pathlib.Path(__file__).parents[1]
# From top to bottom: a package imports from its own level and from lower ones.
FLOORS = {
  'avl_jax': (
    ('__init__',),
    ('modes',),
    ('page',),
    ('search', 'mteb_encoder'),
    ('trained_model',),
    ('reports',),
    ('train',),
    ('config_checks',),
    ('config_kinds',),
    ('checkpoints', 'retrieval'),
    ('models',),
    ('extraction',),
    ('backbones',),
    ('features', 'torch_files', 'parallel', 'multihost', 'files', 'config'),
    ('compilation', 'layers', 'losses', 'loss_options', 'later_keys'),
    ('errors', 'logs'),
  ),
  'avl_jax/checkpoints': (
    ('loading', 'fingerprints'),
    ('checkpointer',),
    ('storage', 'metadata'),
    ('manifest', 'early_layout'),
  ),
  'avl_jax/search': (('__init__',), ('query',), ('update',), ('store',)),
  'input_pipeline': (
    ('__init__',),
    ('prepare', 'prepare_videos', 'batches', 'metric_writer'),
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
  'input_pipeline.prepare_videos',
  *('avl_jax.backbones', 'avl_jax.extraction'),
)
# What computes without JAX, and the packages that import JAX.
WITHOUT_JAX = ('avl_jax.features', 'avl_jax.torch_files')
JAX = ('jax', 'jaxlib', 'flax', 'optax', 'orbax', 'chex')
TENSORFLOW = ('tensorflow', 'tensorflow_datasets', 'clu.metric_writers')
FLAGS = ('absl.flags', 'absl.app', 'argparse', 'ml_collections.config_flags')
# Imports that the checks below cannot see.
DYNAMIC = {
  *('import_module', '__import__', 'spec_from_file_location', 'exec_module'),
  *('run_path', 'run_module'),
}
DYNAMIC_ALLOWED = {  # file -> why
  'avl_jax/__init__.py': 'the public face imports JAX when it is first used',
  'avl_jax/config.py': 'a config is a Python file that the user names',
}
COLLECTIVES = {
  *('pmap', 'pmean', 'psum', 'pmax', 'pmin', 'ppermute', 'all_gather'),
  *('all_to_all', 'psum_scatter', 'axis_index', 'shard_map'),
}
COLLECTIVES_ALLOWED = {  # file -> which
  'avl_jax/layers/batch_norm.py': {'psum', 'all_gather'},
  'avl_jax/parallel.py': COLLECTIVES,
}
# Lines of a file, lines of a function.
LIMITS = {'tests': (400, 60), 'main.py': (120, 60)}
LIMIT = (250, 60)
LONG = {  # file -> why it may be longer
  'avl_jax/reports/thesis_tables.py': 'data: the tables of the thesis',
}
# What is run from the command line: the pages name it.
COMMANDS_OF_TESTS = {'tests.page.screenshots', 'tests.torch_files.fuzzing'}
PRELOADED = """
import os, sys
import av, flax.linen, jax, librosa, ml_collections, optax
import matplotlib.backends.backend_agg
import orbax.checkpoint, PIL.Image, scipy.fft, soundfile, soxr, tqdm
import starlette.applications
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


def imported(tree: ast.Module) -> Iterator[str]:
  """Dotted names that a file imports anywhere, symbols included."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'line {node.lineno}: a relative import'
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


def used(tree: ast.Module) -> set[str]:
  """Names, attributes and imported symbols that a file uses."""
  nodes = list(ast.walk(tree))
  return {
    *(node.id for node in nodes if isinstance(node, ast.Name)),
    *(node.attr for node in nodes if isinstance(node, ast.Attribute)),
    *(name.rpartition('.')[2] for name in imported(tree)),
  }


def starting(names: Iterable[str], packages: Iterable[str]) -> set[str]:
  """The names that are one of some packages or in one of them."""
  return {n for n in names for p in packages if f'{n}.'.startswith(f'{p}.')}


def face(names: Iterable[str]) -> set[str]:
  """The imports of the public face: `avl_jax` itself or a symbol of it."""
  return {name for name in names if module(name) == 'avl_jax'}


@functools.cache
def arrows() -> dict[str, set[str]]:
  """Module -> modules of ours that it imports."""
  return {
    name: {t for i in imported(parsed(path)) if (t := module(i))} - {name}
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


def rooms(graph: Mapping[str, set[str]], folder: str) -> dict[str, set[str]]:
  """Room -> other rooms of the same folder that its modules import."""
  prefix = folder.replace('/', '.') + '.'
  found: dict[str, set[str]] = {}
  for name, targets in graph.items():
    if name.startswith(prefix):
      here = room(name, folder)
      inside = {room(t, folder) for t in targets if t.startswith(prefix)}
      found.setdefault(here, set()).update(inside - {here})
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


def test_how_imports_are_found():
  def names(text):
    return set(imported(ast.parse(text)))

  for text in ('from . import x', 'from ..x import y', 'from .x import y'):
    with pytest.raises(AssertionError, match='relative'):
      names(text)
  for text in (
    *('import avl_jax', 'import avl_jax as a', 'from avl_jax import load'),
    *('from avl_jax import embed as e', 'from avl_jax import *'),
  ):
    assert face(names(text))
  assert not face(names('from avl_jax import files; import avl_jax.losses'))
  for text in (
    *('from argparse import ArgumentParser', 'from absl import flags, logging'),
    *('from absl.flags import FLAGS', 'import absl.app as app'),
  ):
    assert len(starting(names(text), FLAGS)) == 1
  assert starting(names('from tensorflow.io import gfile'), TENSORFLOW)
  assert starting(names('from clu import metric_writers'), TENSORFLOW)
  assert starting(names('import jax.numpy as jnp'), JAX)
  assert not starting(names('import argparser, jaxtyping, absl.logging'), FLAGS)
  for text in (
    *('import importlib; importlib.import_module(x)', '__import__(x)'),
    'from importlib import import_module as load',
  ):
    assert used(ast.parse(text)) & DYNAMIC


@pytest.mark.parametrize('folder', FLOORS)
def test_no_arrow_runs_up(folder):
  floors, prefix = FLOORS[folder], folder.replace('/', '.') + '.'
  height = {room: -i for i, floor in enumerate(floors) for room in floor}
  names = [n for n in MODULES if n.startswith(prefix) or n == folder]
  for name in names:
    here = room(name, folder)
    assert here in height, f'{name}: add {here!r} to FLOORS[{folder!r}]'
  pairs = [(n, t) for n in names for t in arrows()[n] if t.startswith(prefix)]
  assert len(pairs) > 4
  for name, target in pairs:
    above, below = room(name, folder), room(target, folder)
    assert height[above] >= height[below], f'{name} imports {target}'


def test_nothing_imports_the_public_face():
  for path in ALL:
    names = face(imported(parsed(path)))
    if path not in PACKAGES:
      names -= {'avl_jax'}
    assert not names, path


def test_no_circles():
  assert circle({'a': {'b'}, 'b': {'c'}, 'c': {'b'}}) == ['b', 'c', 'b']
  assert not circle(arrows())
  # No circle of modules, but one of packages.
  graph = {'p.q.a.x': {'p.q.b.y'}, 'p.q.b.z': {'p.q.a.w', 'p.q'}, 'p.c': {'p'}}
  assert not circle(graph)
  assert rooms(graph, 'p/q') == {'a': {'b'}, 'b': {'a'}}
  assert rooms(graph, 'p') == {'q': set(), 'c': set()}
  folders = [p.parent for p in PACKAGES if p.name == '__init__.py']
  assert len(folders) > 20
  for folder in folders:
    found = circle(rooms(arrows(), folder.as_posix()))
    assert not found, f'{folder}: {found}'


def test_features_and_torch_files_import_no_jax():
  names = starting(MODULES, WITHOUT_JAX)
  assert len(names) > 18
  for name in names:
    for each in {name} | reached(name):
      found = starting(imported(parsed(MODULES[each])), JAX)
      assert not found, f'{name} imports {found} through {each}'


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
  names = set(imported(parsed(path)))
  roots = {name.split('.')[0] for name in names}
  top = path.parts[0]
  if top in ('benchmarks', 'tests'):
    return
  assert 'torch' not in roots
  assert top == 'main.py' or not starting(names, FLAGS)
  if top == 'avl_jax':
    assert not roots & {'configs', 'input_pipeline', 'main', 'tests'}
    assert not starting(names, TENSORFLOW)
  if top == 'input_pipeline':
    assert not roots & {'configs', 'main', 'tests'}
    ours = {name.split('.')[1] for name in names if name.startswith('avl_jax.')}
    assert ours <= set(OPEN_TO_PIPELINE)
  if top == 'configs':
    assert roots <= {'configs', 'ml_collections', 'typing'}
  found = used(parsed(path))
  assert str(path) in DYNAMIC_ALLOWED or not found & DYNAMIC
  assert found & COLLECTIVES <= COLLECTIVES_ALLOWED.get(str(path), set())


def test_tests_share_helpers_alone():
  """Nothing imports a test or another module that lies among the tests."""
  paths = {name_of(path): path for path in files('tests')}
  shared = {n for n in paths if n.startswith('tests.helpers.')}
  shared |= {n for n in paths if n.rpartition('.')[2] == 'conftest'}
  for path in paths.values():
    for name in starting(imported(parsed(path)), ['tests']):
      found = name if name in paths else name.rpartition('.')[0]
      is_package = paths[found].name == '__init__.py'
      assert is_package or found in shared, f'{path} imports {found}'
  tests = {n for n, p in paths.items() if p.name.startswith(('test_', '__'))}
  assert paths.keys() - tests - shared == COMMANDS_OF_TESTS


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
  for path in DYNAMIC_ALLOWED:
    assert used(parsed(pathlib.Path(path))) & DYNAMIC
  for path, allowed in COLLECTIVES_ALLOWED.items():
    assert used(parsed(pathlib.Path(path))) & allowed


def test_every_module_imports_without_tensorflow():
  """Each in a process of its own, forked before anything of ours is there."""
  names = [name for name in MODULES if name.startswith('avl_jax')]
  names += map(name_of, files('benchmarks/gpu'))
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
