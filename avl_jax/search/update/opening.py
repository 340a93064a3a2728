"""Opens the index that a command is to bring up to date, or begins it.

An index of another model, or of other windows, is refused. To replace it, a new
one is made in its folder `rebuilt`, in which it resumes after an interruption.
Until that is complete, the old index answers.
"""

import contextlib
import dataclasses
import errno
import os
import pathlib
import shutil
from collections.abc import Iterator

from avl_jax import files
from avl_jax.checkpoints import manifest
from avl_jax.errors import UserError
from avl_jax.search.store import entries, journal
from avl_jax.search.store.contents import Contents
from avl_jax.search.store.index import BACKGROUNDS, Description, Index
from avl_jax.search.update import building, provenance
from avl_jax.search.update.file_features import FOLDER as FEATURES

REBUILT = 'rebuilt'  # a folder of the index
_OURS = {  # before there is an index
  *(FEATURES, REBUILT, building.ROOT, provenance.FILE, BACKGROUNDS),
  'lock',
}


@contextlib.contextmanager
def opened(
  folder: pathlib.Path, wanted: Description, command: str, rebuild: bool
) -> Iterator[Index]:
  """Opens an index for writing; makes it if it is missing.

  Args:
    folder: of the index.
    wanted: what it is to be.
    command: makes it anew, for the message.
    rebuild: make it anew. The index that is yielded then takes the place of the
      old one at the end of the context, unless an exception ends it.

  Raises:
    UserError: the folder has something else, or the index is another one.
    DamageError: it is damaged.
    InUseError: another process writes there.
  """
  if not (folder / journal.HEAD).exists() and _is_free(folder):
    with Index.create(folder, wanted) as index:
      yield index
  elif rebuild:
    with files.Lock(folder):
      with _begun(folder, wanted) as index:
        yield index
      _adopt(folder)
    Index.open(folder, write=True).close()  # Deletes what is no longer in use.
  else:
    try:
      index = Index.open(folder, write=True)
    except journal.DamageError as error:
      raise UserError(f'{error} The command is\n  {command}') from error
    with index:
      _check_same(folder, index.description, wanted, command)
      # What was begun beside an index that is kept is out of date.
      shutil.rmtree(folder / REBUILT, ignore_errors=True)
      yield index


def _is_free(folder: pathlib.Path) -> bool:
  """Whether a folder can become an index; UserError: it has other files."""
  there = [*folder.iterdir()] if folder.is_dir() else []
  if entries.shards(folder):
    return False  # It is damaged.
  other = [
    path.name
    for path in there
    if path.name not in _OURS and not journal.is_begun(path)
  ]
  if other:
    raise UserError(
      f'{folder} is no index: it has other files, such as {min(other)!r}. Name '
      'an empty or a new folder, --config.search.index=FOLDER.'
    )
  return True


def _check_same(
  folder: pathlib.Path, found: Description, wanted: Description, command: str
) -> None:
  """Raises UserError unless an index is as it is to be."""
  if found.names == ('video',) and found.branch == wanted.branch:
    wanted = dataclasses.replace(wanted, model=found.model)  # It has no part.
  if differing := found.differences(wanted):
    raise UserError(
      f'The index {folder} is not the one of this command: '
      f'{"; ".join(differing)} ("here" is the index, "there" the command). '
      'Name its model and its options, or another folder, or make the index '
      f'anew with\n  {command}\nWhat the same networks have extracted is used '
      'again. The old index answers until the new one is complete.'
    )


def _begun(folder: pathlib.Path, wanted: Description) -> Index:
  """The new index, begun or begun before."""
  rebuilt = folder / REBUILT
  with contextlib.suppress(UserError):
    index = Index.open(rebuilt, write=True)
    if not index.description.differences(wanted):
      (rebuilt / building.ROOT).unlink(
        missing_ok=True
      )  # Any folder may follow.
      return index
    index.close()
  shutil.rmtree(rebuilt, ignore_errors=True)
  try:
    _, (first, *lines) = journal.read(folder)
    row = Contents.begin(first).after(lines).next
  except UserError:  # It is damaged, and answers nothing.
    row = 0
  with files.writing(rebuilt):
    rebuilt.mkdir(parents=True)
  # From a row on that the old index does not have, so that the names of their
  # files differ.
  journal.replace(rebuilt, Contents(wanted, {}, row, row).first_line())
  return Index.open(rebuilt, write=True)


def _adopt(folder: pathlib.Path) -> None:
  """Puts the new index in the place of the old one, in one step: HEAD.

  The names of its folder and of its run follow. If they are lost, the next
  indexing writes them.
  """
  rebuilt = folder / REBUILT
  _, lines = journal.read(rebuilt)
  with files.writing(folder):
    for path in entries.shards(rebuilt):
      (folder / path.name).unlink(missing_ok=True)
      _link(path, folder / path.name)
    manifest.sync(folder)
  # From then on both have the same files: no one may resume this one.
  journal.replace(folder, *lines, before=(rebuilt / journal.HEAD).unlink)
  with files.writing(folder):
    for name in (building.ROOT, provenance.FILE):
      os.replace(rebuilt / name, folder / name)
  shutil.rmtree(rebuilt)


def _link(path: pathlib.Path, other: pathlib.Path) -> None:
  """Gives a file another name, or copies it where files have one name only."""
  try:
    os.link(path, other)
  except OSError as error:
    if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
      raise
    shutil.copyfile(path, other)
    manifest.sync(other)
