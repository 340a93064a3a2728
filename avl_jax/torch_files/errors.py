"""What is done about files that came from outside."""

import os
import pathlib

from avl_jax.errors import UserError


class ReleaseError(UserError, ValueError):
  """A file that is damaged or asks for more than arrays."""


class OutsideError(ReleaseError):
  """A name that leads out of the folder in which its file should be."""


def inside(root: str | os.PathLike, *names: str) -> pathlib.Path:
  """The path of a file below `root`, whose names came from outside.

  Raises:
    OutsideError: the names lead out of the root: '..', an absolute path, or a
      symbolic link to somewhere else.
  """
  root = pathlib.Path(root).resolve()
  path = root.joinpath(*names)
  if '..' in path.parts or not path.resolve().is_relative_to(root):
    raise OutsideError(f'{"/".join(names)!r} leads out of {root}')
  return path
