"""Checkpoints of the first runs, as Orbax' CheckpointManager wrote them.

The metadata are an item, `description`, and the scores another, `metrics`;
there is no manifest. `variables` and `training` are as today, but `training`
has no count of skipped steps.
"""

import json
import pathlib

import numpy as np

_DESCRIPTION, _METRICS = 'description/metadata', 'metrics/metrics'
LACKING = ('skipped',)  # fields of the state that `training` does not have


def is_early(path: pathlib.Path) -> bool:
  """Whether the folder of a checkpoint has this layout."""
  return (path / _DESCRIPTION).is_file()


def read_metadata(path: pathlib.Path) -> dict:
  """Reads the metadata in today's form, except for what is unknown.

  Args:
    path: folder of a checkpoint, WORKDIR/checkpoints/STEP. The seed and the
      batch size are those of WORKDIR/config.json, and left out if it has none.

  Raises:
    OSError: a file of the checkpoint cannot be read.
    ValueError: such a file is not JSON.
  """
  description = json.loads((path / _DESCRIPTION).read_text())
  metrics = path / _METRICS
  try:
    saved = json.loads((path.parents[1] / 'config.json').read_text())
    size = saved['train_data']['batch_size']
    description |= {'seed': saved['seed'], 'batch_size': size}
  except (OSError, ValueError, KeyError, TypeError):
    pass  # Whoever needs the config itself says what is wrong with it.
  return {
    **description,
    'step': int(path.name),
    'run': {
      'metrics': json.loads(metrics.read_text()) if metrics.is_file() else {},
      'progress': {},
      'saved_at': np.inf,
    },
  }
