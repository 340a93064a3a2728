"""Pages and docstrings: links resolve, commands name what exists."""

import ast
import pathlib
import re
import shlex

import pytest

import main
from avl_jax.config import read_config

ROOT = pathlib.Path(__file__).parents[1]
PAGES = sorted(
  path
  for path in ROOT.rglob('*.md')
  if not re.match(r'(\.|runs/|shared/|build/)', str(path.relative_to(ROOT)))
)
LINK = re.compile(r'\]\(([^)\s]+)\)')
FENCE = re.compile(r'^```.*?^```', re.DOTALL | re.MULTILINE)
FILE = re.compile(r'\b(?:tests|configs)/[\w/]+(?:\.\w+)?')
QUESTIONS = {'how', 'what', 'when', 'where', 'which', 'who', 'whose', 'why'}
COMMAND = re.compile(r'python3? main\.py((?:[^\n`\\]|\\\n?)*)')


def _name(path):
  return str(path.relative_to(ROOT))


def _anchors(text):
  """Anchors that GitHub makes of the headings of a page."""
  headings = re.findall(r'^#+ (.*)$', FENCE.sub('', text), re.MULTILINE)
  words = [re.sub(r'[^\w\- ]', '', heading.lower()) for heading in headings]
  return {heading.replace(' ', '-') for heading in words}


def _commands(text):
  """Arguments of each command `python main.py` of a page or docstring."""
  for match in COMMAND.finditer(text):
    line = match[1].replace('\\\n', ' ')
    yield shlex.split(re.split(r'\s[#(]', line)[0])


SOURCES = [*PAGES, ROOT / 'main.py', *sorted((ROOT / 'configs').glob('*.py'))]
ALL = [
  pytest.param(command, id=f'{_name(path)}: {" ".join(command)}')
  for path in SOURCES
  for command in _commands(path.read_text())
  if not any(argument.endswith('=CONFIG') for argument in command)
]


def test_pages_and_commands_are_found():
  assert len(PAGES) >= 11
  assert len(ALL) >= 50
  assert _anchors('# A b, "C"!\n```\n# d\n```\n## e_f: g-h\n') == {
    'a-b-c',
    'e_f-g-h',
  }
  assert list(_commands('python main.py --a=1 \\\n  --b=2  # c\n`x`')) == [
    ['--a=1', '--b=2']
  ]


@pytest.mark.parametrize('page', PAGES, ids=_name)
def test_links_resolve(page):
  for link in LINK.findall(FENCE.sub('', page.read_text())):
    if re.match(r'\w+:', link):
      continue
    file, _, anchor = link.partition('#')
    target = (page.parent / file) if file else page
    assert target.exists(), link
    if anchor:
      assert anchor in _anchors(target.read_text()), link


@pytest.mark.parametrize('page', PAGES, ids=_name)
def test_files_in_commands_exist(page):
  text = ' '.join(FENCE.findall(page.read_text()))
  for module in re.findall(r'python -m (benchmarks\.\w+)', text):
    path = ROOT / module.replace('.', '/')
    files = path.with_suffix('.py'), path / '__main__.py'
    assert any(file.is_file() for file in files), module
  for name in FILE.findall(text):
    if 'NAME' not in name:
      assert (ROOT / name).exists(), name


def test_files_in_the_gate_exist():
  """Pytest would run nothing where one of the core's files is not found."""
  names = FILE.findall((ROOT / '.ci/run').read_text())
  assert len(names) >= 6
  assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize('command', ALL)
def test_commands_can_be_read(command, tmp_path, monkeypatch):
  """Their configs and arguments exist, and their keys can be set."""
  monkeypatch.chdir(tmp_path)
  saved = read_config('configs/stamps.py').to_json()
  for argument in command:  # Runs that an earlier command has made.
    option, _, value = argument.partition('=')
    if option == '--workdir' or value.endswith('/config.json'):
      folder = tmp_path / value.removesuffix('/config.json')
      folder.mkdir(parents=True)
      (folder / 'config.json').write_text(saved)
  _, config, _ = main.read_arguments(['main.py', *command])
  for argument in command:
    key, _, value = argument.partition('=')
    if key.startswith('--config.'):
      found = config
      for part in key.split('.')[1:]:
        found = found[part]
      assert str(found) == value


def test_docstrings_of_modules_begin_with_no_question():
  folders = ('avl_jax', 'input_pipeline', 'configs', 'benchmarks', 'tests')
  paths = [path for name in folders for path in (ROOT / name).rglob('*.py')]
  for path in [ROOT / 'main.py', *paths]:
    if text := path.read_text():
      docstring = ast.get_docstring(ast.parse(text))
      assert docstring, path
      assert docstring.split()[0].lower() not in QUESTIONS, path
