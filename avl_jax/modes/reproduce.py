"""--mode=reproduce: fills the thesis' tables with the runs below a folder."""

import pathlib

from ml_collections import ConfigDict

from avl_jax.modes.pipeline import InputPipeline
from avl_jax.reports import reproduction


def reproduce(
  config: ConfigDict, workdir: pathlib.Path, pipeline: InputPipeline
) -> None:
  """Writes thesis.md and thesis.html from the evaluations below `workdir`."""
  del config, pipeline
  reproduction.write(workdir)
