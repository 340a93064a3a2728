"""Starts of a run: what a resumed run changes, and the config of each start."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from avl_jax import logs
from avl_jax.checkpoints import loading
from avl_jax.checkpoints.metadata import CheckpointError
from avl_jax.config import FILE, read_config
from avl_jax.errors import ConfigError
from avl_jax.files import write_atomically

FOLDER = 'starts'  # of a workdir
# They determine the examples of a step. The checkpoint has the others: the
# fingerprint of the data, the seed and the batch size.
_ORDER = (
  *('train_data.distinct_groups', 'train_data.clips_per_example'),
  'train_data.candidates',
)
_INITIAL = ('initial_workdir', 'image_weights')  # matter before step 1 only


def continued(config: ConfigDict, workdir: pathlib.Path) -> ConfigDict:
  """Compares a config with that of the run so far, and says what differs.

  Args:
    config: of this start.
    workdir: of the run.

  Returns:
    The config as it is taken: what only initializes a run is that of the run
    so far. In a new run, `config` itself.

  Raises:
    CheckpointError: a key differs that changes the order of the examples.
  """
  if not loading.has_checkpoint(workdir) or not (workdir / FILE).is_file():
    return config
  try:
    before = read_config(str(workdir / FILE))
  except ConfigError as error:
    logs.write(
      f'Cannot compare this config with that of the run so far: {error}'
    )
    return config
  old, new = _flat(before), _flat(config)
  differing = [key for key in sorted(old | new) if old.get(key) != new.get(key)]
  texts = {
    key: f'{key}: {old.get(key)!r} in the run so far, {new.get(key)!r} in this '
    'start'
    for key in differing
  }
  if refused := [texts[key] for key in differing if key in _ORDER]:
    raise CheckpointError(
      f'The run in {workdir} trains on the examples in another order '
      f'({"; ".join(refused)}). Choose another workdir, or use the same '
      'settings.'
    )
  taken = config.copy_and_resolve_references()
  for key, text in texts.items():
    if key.startswith('model.'):
      continue  # The checkpoint refuses another model.
    if key in _INITIAL:
      taken[key] = before[key]
      logs.write(f'Not taken, because the run has begun: {text}.')
    else:
      logs.write(f'Taken from here on: {text}.')
  return taken


def keep(config: ConfigDict, workdir: pathlib.Path, step: int) -> None:
  """Writes a start's config as WORKDIR/starts/start001_step0.json and so on.

  A run from before this folder existed has its config.json copied there first.

  Args:
    config: of this start, as it is taken.
    workdir: of the run. Its config.json is still that of the last start.
    step: after which the run starts.

  Raises:
    UserError: a file cannot be written.
  """
  folder = workdir / FOLDER
  numbers = [
    int(path.stem[len('start') :].partition('_')[0])
    for path in folder.glob('start[0-9]*.json')
  ]
  if step and not numbers and (workdir / FILE).is_file():
    numbers = [1]
    write_atomically(folder / 'start001.json', (workdir / FILE).read_bytes())
  number = max(numbers, default=0) + 1
  write_atomically(
    folder / f'start{number:03}_step{step}.json',
    config.to_json(indent=2) + '\n',
  )


def _flat(config: ConfigDict) -> dict[str, Any]:
  """Values by dotted key, as JSON has them."""

  def flat(tree: Mapping, outer: str) -> dict[str, Any]:
    values = {}
    for key, value in tree.items():
      if isinstance(value, Mapping) and value:
        values |= flat(value, f'{outer}{key}.')
      else:
        values[f'{outer}{key}'] = value
    return values

  return flat(json.loads(config.to_json()), '')
