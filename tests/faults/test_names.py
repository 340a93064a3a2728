"""Every dotted name in these tests is a function of the program."""

import ast
import importlib
import pathlib
import pkgutil
import re

import pytest

from tests.helpers.faulty_runs import ACTIONS, Fault

FOLDER = pathlib.Path(__file__).parent
DOTTED = re.compile(r'(avl_jax|input_pipeline|orbax|os)(\.\w+)+(\(\)|\[\])?')


def _faults(value):
  """The faults in a constant of a module: in dicts, lists and tuples."""
  if isinstance(value, Fault):
    yield value
  elif isinstance(value, dict):
    yield from _faults(list(value.values()))
  elif isinstance(value, list | tuple):
    for item in value:
      yield from _faults(item)


def _names():
  """Name of a function -> the file that names it."""
  names = {}
  helper = FOLDER.parent / 'helpers/faulty_runs.py'
  for path in [*sorted(FOLDER.glob('*.py')), helper]:
    for node in ast.walk(ast.parse(path.read_text())):
      value = getattr(node, 'value', None)
      if isinstance(value, str) and DOTTED.fullmatch(value):
        names[value] = path.name
    module = importlib.import_module(f'tests.{path.parent.name}.{path.stem}')
    for fault in _faults(list(vars(module).values())):
      assert fault.do in ACTIONS
      names[fault.at] = path.name
  return names


NAMES = _names()


@pytest.mark.parametrize('name', NAMES)
def test_is_a_function_of_the_program(name):
  """As `child` finds it; a class whose methods are named is one too."""
  path = name.removesuffix('()').removesuffix('[]')
  assert callable(pkgutil.resolve_name(path)), NAMES[name]


def test_names_are_found():
  assert len(NAMES) > 15
  assert 'os.rename' in NAMES
  assert 'avl_jax.checkpoints.checkpointer.Checkpoints._take_away' in NAMES
