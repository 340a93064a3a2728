"""--mode=prepare: makes the records of a config's data sets."""

import pathlib

from ml_collections import ConfigDict

from avl_jax import multihost
from avl_jax.modes.pipeline import InputPipeline


def prepare(
  config: ConfigDict, workdir: pathlib.Path, pipeline: InputPipeline
) -> None:
  """Makes the records that are missing, on the first host alone."""
  del workdir
  for turn in (multihost.is_first(), not multihost.is_first()):
    if turn:  # The other hosts find what the first has made.
      pipeline.prepare(**config.prepare, data_dir=config.data_dir)
    multihost.wait('prepare')
