"""Adds files whose features have been extracted to an index."""

import numpy as np

from avl_jax.errors import UserError
from avl_jax.extraction import media_folder
from avl_jax.features import MediaError, RefusedError, Status, UnexpectedError
from avl_jax.search.store import shards
from avl_jax.search.store.index import Index, IndexedFile
from avl_jax.search.update import windows
from avl_jax.search.update.differences import Failure, Found
from avl_jax.search.update.file_features import FileFeatures
from avl_jax.search.update.window_vectors import WindowVectors


class Adder:
  """Makes the vectors of files and adds them, or says why not.

  A file that cannot be used is entered without windows, so that it is not
  tried again until it changes. What timed out, or failed in a way that nobody
  has foreseen, is tried again.
  """

  def __init__(
    self, index: Index, features: FileFeatures, embed: WindowVectors
  ):
    """Takes the index, open for writing, and what makes its vectors."""
    self._index, self._features, self._embed = index, features, embed

  def __call__(
    self, file: Found, error: MediaError | None
  ) -> IndexedFile | Failure:
    """Adds a file.

    Args:
      file: the file.
      error: of the extraction.

    Raises:
      UserError: the disk is full.
    """
    if file.has_changed():
      # They may be of another content than their name says.
      self._features.cache_file(file.path, file.content).unlink(missing_ok=True)
      return Failure(
        file.path,
        Status.UNREADABLE,
        'The file has changed or gone meanwhile. Run the command again.',
      )
    try:
      if error is not None:
        raise error
      return self._add(file)
    except MediaError as why:
      reason = str(why).removeprefix(f'{file.file}: ')
      failure = Failure(file.path, why.reason, reason)
      if why.reason == Status.TIMED_OUT or isinstance(why, UnexpectedError):
        self._take_out(file.path)
      else:
        self._enter(file, failure)
      return failure

  def _add(self, file: Found) -> IndexedFile:
    like = self._index.description
    if not (kept := self._features.kept(file.path, file.content)):
      raise UnexpectedError('Its features are gone. Run the command again.')
    arrays, seconds = windows.trim(kept)
    is_picture = media_folder.kind(file.path) == media_folder.PICTURE
    remarks = [] if is_picture else _lacking(arrays)
    added = _indexed(file, 0.0 if is_picture else seconds, remarks)
    spans = windows.lay(added.seconds, like.window, like.step)
    vectors, present = self._embed(arrays, spans)
    for name, rows in vectors.items():
      try:
        what = f'{name} of {file.path}'
        shards.stored(rows, present[name], rows.shape, like.dtype, what)
      except UserError as error:
        raise RefusedError(str(error)) from error
    self._index.add(added, spans, vectors, present)
    return added

  def _take_out(self, path: str) -> None:
    """Drops what the index has of another content of a path."""
    if path in {known.path for known in self._index.files()}:
      self._index.drop(path)

  def _enter(self, file: Found, failure: Failure) -> None:
    like = self._index.description
    self._index.add(
      _indexed(file, 0.0, [str(failure.status), failure.reason]),
      np.zeros((0, 2)),
      dict.fromkeys(like.names, np.zeros((0, like.dim), np.float32)),
      dict.fromkeys(like.names, np.zeros(0, bool)),
    )


def failure_of(index: Index, file: IndexedFile) -> Failure | None:
  """What an earlier update has entered of a file that cannot be used."""
  if len(index.rows_of(file.path)):
    return None
  status, reason = file.remarks
  return Failure(file.path, Status(status), reason)


def _lacking(arrays: dict[str, np.ndarray]) -> list[str]:
  """Remarks on a video or recording."""
  seen = [name for name in arrays if name != 'spectrogram']
  remarks = []
  if not len(arrays['spectrogram']):
    remarks.append('no sound that is audible')
  if not any(len(arrays[name]) for name in seen):
    remarks.append('no picture')
  return remarks


def _indexed(file: Found, seconds: float, remarks: list[str]) -> IndexedFile:
  return IndexedFile(
    path=file.path,
    content=file.content,
    size=file.size,
    modified=file.trusted,
    seconds=seconds,
    remarks=tuple(remarks),
  )
