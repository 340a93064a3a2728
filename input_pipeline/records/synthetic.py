"""Marks records as synthetic, as their media are."""

import os
import pathlib

from input_pipeline.records import catalog


def mark(folder: str | os.PathLike, media_dir: str) -> None:
  """Marks the records in a folder as synthetic, or not, as the media are.

  Args:
    folder: of the records.
    media_dir: of the media: folders or manifests, separated by os.pathsep.
  """
  path = pathlib.Path(folder) / catalog.SYNTHETIC
  if _is_synthetic(media_dir):
    path.touch()
  else:
    path.unlink(missing_ok=True)


def _is_synthetic(media_dir: str) -> bool:
  """Whether one of the media folders is marked as synthetic."""
  return any(
    (path / catalog.SYNTHETIC).exists()
    for folder in media_dir.split(os.pathsep)
    # A manifest is beside the mark.
    for path in [pathlib.Path(folder).expanduser()]
    for path in [path.parent if path.is_file() else path]
    if folder
  )
