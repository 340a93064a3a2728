"""The folder of questions that are being answered."""

import os
import pathlib
import subprocess
import sys
import tempfile

from avl_jax.page import temporary_folder

KILLED = """
import os
from avl_jax.page import temporary_folder
context = temporary_folder.folder()
folder = context.__enter__()
(folder / 'question.wav').write_text('said')
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_server_leaves_is_deleted(tmp_path, monkeypatch):
  """Nothing of a server that runs, or of others."""
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
  (tmp_path / 'avl-page-tmp-file').touch()
  (tmp_path / 'other').mkdir()
  (tmp_path / 'avl-page-tmp-link').symlink_to(tmp_path / 'other')
  with temporary_folder.folder() as running:
    (running / 'question.wav').touch()
    subprocess.run(
      [sys.executable, '-c', KILLED],
      cwd=pathlib.Path(__file__).parents[3],
      env={**os.environ, 'TMPDIR': str(tmp_path)},
      check=False,
    )
    assert len([*tmp_path.glob('*/question.wav')]) == 2
    with (
      temporary_folder.folder()
    ):  # The process of a young one may be about to lock it.
      assert len([*tmp_path.glob('*/question.wav')]) == 2
    for path in tmp_path.glob('*/question.wav'):
      os.utime(path.parent, (0, 0))
    with temporary_folder.folder():
      assert [*tmp_path.glob('*/question.wav')] == [running / 'question.wav']
  left = {path.name for path in tmp_path.iterdir()}
  assert left == {'avl-page-tmp-file', 'avl-page-tmp-link', 'other'}
