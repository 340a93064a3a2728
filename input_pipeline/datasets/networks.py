"""Names of the networks whose features are in records.

The records of a data set made of raw videos have a file `networks.json`:
stream -> name of its network, see `network_names`. Runs take the names from
there into their checkpoints.
"""

import json
import os
import pathlib
from collections.abc import Mapping

from avl_jax.files import write_atomically
from input_pipeline.records import catalog


def write(folder: str | os.PathLike, names: Mapping[str, str]) -> None:
  """Writes the names, if there are any, beside the records in a folder."""
  if names:
    content = json.dumps(dict(names), indent=2) + '\n'
    write_atomically(pathlib.Path(folder) / catalog.NETWORKS, content)
