"""Arguments of main.py: help, folders, interruption, several hosts."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import main
from avl_jax import modes, multihost
from avl_jax.config import OF_A_RUN, read_config
from avl_jax.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
# Replaces what takes long by what waits for the signal.
WAITS = """
import runpy, sys, types
sys.path.insert(0, {root!r})
def wait(*_, **__):
  import time
  print('waiting', flush=True)
  time.sleep(30)
if {importing}:
  class Finder:
    def find_spec(self, name, path=None, target=None):
      if name == 'input_pipeline':
        try:
          wait()
        except BaseException as error:
          raise ImportError('as of a C extension') from error
  sys.meta_path.insert(0, Finder())
else:
  from avl_jax import modes
  modes.FUNCTIONS['eval'] = wait
sys.argv = ['main.py', '--mode=eval', '--config=configs/stamps.py']
runpy.run_path({root!r} + '/main.py', run_name='__main__')
"""


def _main(*arguments, folder=ROOT, **environment):
  return subprocess.run(
    [sys.executable, str(ROOT / 'main.py'), *arguments],
    cwd=folder,
    capture_output=True,
    text=True,
    check=False,
    env=os.environ | environment,
  )


def test_help_explains_the_modes_and_imports_little():
  code = f"""
import sys
sys.argv = ['main.py', '--help']
sys.path.insert(0, {str(ROOT)!r})
import main
try:
  main.main(sys.argv)
finally:
  heavy = {{'jax', 'tensorflow', 'orbax', 'matplotlib'}} & set(sys.modules)
  assert not heavy, heavy
"""
  result = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=False
  )
  assert result.returncode == 0, result.stderr
  lines = result.stdout.splitlines()
  for mode, text in main.MODES.items():
    assert f'  {mode:10} {text}' in lines
  assert list(main.MODES) == list(modes.FUNCTIONS)
  # The others need no run. A new mode is one of both kinds.
  others = ('import', 'export', 'reproduce')
  assert {*OF_A_RUN, *others} == {*main.MODES}
  examples = [line for line in lines if line.startswith('  python main.py ')]
  assert len(examples) == 3
  assert all(line.count('main.py') == 1 for line in examples)


def test_folders_with_colons(tmp_path, monkeypatch):
  folder = tmp_path / '10:20'
  folder.mkdir()
  (folder / 'x.py').write_text((ROOT / 'configs/stamps.py').read_text())
  config = read_config(f'{folder}/x.py:es')
  assert config.train_data.datasets == ('stamps/narrated_es',)
  monkeypatch.chdir(folder.parent)
  _, _, workdir = main.read_arguments(['main.py', '--config=10:20/x.py:es'])
  assert workdir == pathlib.Path('runs/x_es')


@pytest.mark.parametrize('importing', [True, False])
def test_an_interruption_leaves_no_traceback(importing):
  code = WAITS.format(root=str(ROOT), importing=importing)
  with subprocess.Popen(
    [sys.executable, '-c', code],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  ) as process:
    assert process.stdout.readline() == 'waiting\n'
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
  assert process.returncode == 130
  assert 'Traceback' not in errors
  (line,) = (line for line in errors.splitlines() if 'SIGINT' in line)
  assert line == 'Stopped by SIGINT. Run the command again.'


def test_the_home_folder(monkeypatch, tmp_path):
  monkeypatch.setenv('HOME', str(tmp_path))
  monkeypatch.chdir(ROOT)
  _, config, workdir = main.read_arguments(
    [
      *('main.py', '--config=configs/stamps.py', '--workdir=~/x'),
      *('--config.data_dir=~/records', '--config.prepare.media_dir=~/media'),
      *('--config.release.file=~/a.pth', '--config.words.vectors=~/b.bin'),
    ]
  )
  assert workdir == tmp_path / 'x'
  assert config.data_dir == f'{tmp_path}/records'
  assert config.prepare.media_dir == f'{tmp_path}/media'
  assert config.release.file == f'{tmp_path}/a.pth'
  assert config.words.vectors == f'{tmp_path}/b.bin'
  workdir.mkdir()
  saved = read_config('configs/stamps.py:es')
  (workdir / 'config.json').write_text(saved.to_json())
  for option in ('--workdir=~/x', '--config=~/x/config.json'):
    _, config, found = main.read_arguments(['main.py', option])
    assert config.to_dict() == saved.to_dict()
    assert found.expanduser() == workdir


def test_configs_are_found_from_another_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  _, config, workdir = main.read_arguments(
    ['main.py', '--config=configs/stamps.py:es']
  )
  assert workdir == pathlib.Path('runs/stamps_es')  # of that folder
  monkeypatch.chdir(ROOT)
  assert config.to_dict() == read_config('configs/stamps.py:es').to_dict()
  result = _main(
    '--mode=eval', '--config=configs/finetune.py:stamps_fr', folder=tmp_path
  )
  assert result.stderr.startswith('error: There is no checkpoint in')


@pytest.mark.parametrize('mode', ['train', 'eval', 'prepare', 'compare'])
def test_a_misspelt_workdir_is_named(mode, tmp_path):
  with pytest.raises(UserError) as caught:
    main.read_arguments(
      ['main.py', f'--mode={mode}', f'--workdir={tmp_path}/r']
    )
  message = str(caught.value)
  assert f'no checkpoint in {tmp_path}/r, and no config.json' in message
  assert 'avlnet' not in message


def test_a_workdir_is_named_in_utf8():
  with pytest.raises(UserError, match=r"'runs/caf\\udce9'.* UTF-8"):
    main.read_arguments(['main.py', os.fsdecode(b'--workdir=runs/caf\xe9')])


def test_a_run_without_its_config_is_not_evaluated_with_another(tmp_path):
  (tmp_path / 'checkpoints').mkdir()
  (tmp_path / 'evaluation.json').write_text(json.dumps({'rows': [1]}))
  result = _main('--mode=eval', f'--workdir={tmp_path}')
  assert result.returncode == 1
  assert result.stderr.startswith(
    f'error: There is no config.json in {tmp_path}'
  )
  assert json.loads((tmp_path / 'evaluation.json').read_text()) == {'rows': [1]}


@pytest.mark.parametrize('given', [(2, None), (None, 1), (0, 0)])
def test_processes_need_a_coordinator(given):
  with pytest.raises(UserError, match='without --coordinator'):
    multihost.connect('', *given)
