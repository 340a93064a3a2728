"""Writes the records of narrated videos: those of own videos, and the truth.

Names of the records, for a language LANG of the stamps:

  untrimmed_LANG  train: whole videos; val, test: windows of 10 s
  clips_LANG      train, val, test: annotated clips, as of YouCook2
  human_LANG      test: annotated clips in which a volunteer speaks

The splits differ in their videos and voices; see `casting`.
"""

import pathlib

from avl_jax.files import write_atomically
from input_pipeline.datasets.narrated_videos import settings, truth
from input_pipeline.datasets.own_videos import tables
from input_pipeline.datasets.own_videos.builder import OwnVideos
from input_pipeline.records import catalog


class NarratedVideos(OwnVideos):
  """TFDS builder of narrated videos; beside the records lies the truth."""

  def _write_tables(self, folder: pathlib.Path) -> None:
    super()._write_tables(folder)
    files = [line.file for line in tables.usable(self._lines) if line.file]
    notes = [file.with_suffix('.json') for file in dict.fromkeys(files)]
    content = ''.join(path.read_text('utf-8') for path in notes)
    write_atomically(folder / truth.TABLE, content)
    (folder / catalog.SYNTHETIC).touch()
    of_all = files[0].parent / settings.FILE
    write_atomically(folder / settings.FILE, of_all.read_bytes())
