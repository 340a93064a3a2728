"""Records that are not what they must be."""

from avl_jax import UserError

REMEDY = (
  "delete the data set's folder and run `python main.py --mode=prepare` with "
  'the same config, or copy the data set anew'
)


class DataError(UserError):
  """Records that are missing or not what they must be."""
