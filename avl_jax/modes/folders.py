"""The folder of the index that a mode makes, queries or serves."""

import pathlib

from ml_collections import ConfigDict

from avl_jax import multihost
from avl_jax.errors import ConfigError, UserError


def index_folder(config: ConfigDict) -> pathlib.Path:
  """`search.index`, for this process alone.

  Raises:
    UserError: the run has several processes.
    ConfigError: `search.index` is ''.
  """
  if multihost.this()[1] > 1:
    raise UserError(
      'An index is made, queried and served by one process. Start a single one.'
    )
  if not config.search.index:
    raise ConfigError(
      "search.index is ''. Expected the folder of an index. Set "
      '--config.search.index=FOLDER.'
    )
  return pathlib.Path(config.search.index)
