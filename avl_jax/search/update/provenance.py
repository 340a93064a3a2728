"""Keeps the name of the run that made an index in a file beside the index."""

import json
import os
import pathlib

from avl_jax.errors import UserError
from avl_jax.files import write_atomically

FILE = 'run.json'  # of an index


def write(folder: pathlib.Path, workdir: str | os.PathLike) -> None:
  """Keeps the workdir of the run that makes an index.

  Raises:
    UserError: the file cannot be written.
  """
  text = json.dumps({'workdir': str(pathlib.Path(workdir).resolve())})
  write_atomically(folder / FILE, f'{text}\n')


def run_of(folder: pathlib.Path) -> pathlib.Path:
  """The workdir of the run that made an index.

  Raises:
    UserError: it is not known, or no longer there.
  """
  try:
    values = json.loads((folder / FILE).read_bytes())
    workdir = pathlib.Path(values['workdir'])
  except (OSError, KeyError, TypeError, ValueError) as error:
    raise UserError(
      f'The index {folder} does not say which run made it. Name one: '
      'avl_jax.load_index(DIR, RUN).'
    ) from error
  if not workdir.is_dir():
    raise UserError(
      f'The run {workdir}, which made the index {folder}, is no longer there. '
      'Name where it is now: avl_jax.load_index(DIR, RUN).'
    )
  return workdir
