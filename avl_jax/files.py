"""Files that are whole or not there."""

import os
import pathlib


def write_atomically(path: str | os.PathLike, content: str | bytes) -> None:
  """Writes a file so that an interruption leaves the old one as it was.

  The folder is made if it is not there.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'{path.name}.tmp')
  if isinstance(content, str):
    content = content.encode()
  temporary.write_bytes(content)
  os.replace(temporary, path)
