"""Time of saving and restoring the full-size state, verified and not.

  python -m benchmarks.checkpoint --folder=FOLDER

The state is that of AVLnet with embeddings of 4096: parameters, statistics and
Adam's two moments. Orbax' own manager with its defaults, without hashes, is
measured for comparison. `blocked`: time for which a save blocks training;
`total`: time until the checkpoint is on the disk; `verify`: reading and hashing
all files; `restore`: restoring the arrays, verified. All are seconds, medians
of a few interleaved rounds.
"""

import argparse
import pathlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable

import jax
import numpy as np
import orbax.checkpoint as ocp

from avl_jax import parallel
from avl_jax.checkpoints import checkpointer, manifest, metadata, storage
from avl_jax.models import avlnet
from avl_jax.train import optimizer as optimizers
from avl_jax.train import step as training_step
from benchmarks.full_size import VISUAL

COLUMNS = ('blocked', 'total', 'verify', 'restore')


def seconds(function: Callable[[], object]) -> float:
  """Duration of a call."""
  start = time.perf_counter()
  function()
  return time.perf_counter() - start


def ours(
  folder: pathlib.Path, state: training_step.TrainState
) -> dict[str, float]:
  """Measures `checkpointer.Checkpoints`."""
  description = metadata.describe({}, VISUAL, 'data')
  checkpoints = checkpointer.Checkpoints(folder, description)
  start = time.perf_counter()
  blocked = seconds(lambda: checkpoints.save(state, {}))
  checkpoints.wait()
  total = time.perf_counter() - start
  path = folder / storage.FOLDER / '0'
  verify = seconds(lambda: manifest.find_damage(path))
  restore = seconds(lambda: checkpoints.restore(state))
  checkpoints.close()
  return {
    'blocked': blocked,
    'total': total,
    'verify': verify,
    'restore': verify + restore,
  }


def orbax(
  folder: pathlib.Path, state: training_step.TrainState
) -> dict[str, float]:
  """Measures `orbax.checkpoint.CheckpointManager`, which verifies nothing."""
  with ocp.CheckpointManager(folder.absolute()) as manager:
    start = time.perf_counter()
    blocked = seconds(
      lambda: manager.save(0, args=ocp.args.StandardSave(state))
    )
    manager.wait_until_finished()
    total = time.perf_counter() - start
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
    restore = seconds(
      lambda: manager.restore(0, args=ocp.args.StandardRestore(abstract))
    )
  return {
    'blocked': blocked,
    'total': total,
    'verify': float('nan'),
    'restore': restore,
  }


def main() -> None:
  """Measures both and prints a table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument(
    '--folder', help='where to write; default: a temporary one'
  )
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--embed_dim', type=int, default=4096)
  options = parser.parse_args()
  net = avlnet.AVLnet(embed_dim=options.embed_dim)
  optimizer = optimizers.make_optimizer(learning_rate=1e-3)
  state = training_step.create_state(
    avlnet.init_variables(net, VISUAL), optimizer
  )
  rng = np.random.default_rng(0)  # Zeros would be compressed to nothing.
  state = jax.tree.map(
    lambda x: rng.standard_normal(x.shape, np.float32).astype(x.dtype), state
  )
  state = parallel.replicate(state.replace(step=np.int32(0)))
  size = sum(x.nbytes for x in jax.tree.leaves(state))
  measured = {'avl_jax': [], 'Orbax': []}
  files = {}
  for _ in range(options.rounds):
    for name, way in (('avl_jax', ours), ('Orbax', orbax)):
      with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = pathlib.Path(folder)
        measured[name].append(way(path, state))
        files[name] = sum(
          p.stat().st_size for p in path.rglob('*') if p.is_file()
        )
  free = shutil.disk_usage(options.folder or tempfile.gettempdir()).free
  print(f'state: {size / 1e9:.2f} GB; free: {free / 1e9:.0f} GB\n')
  print('| |', ' | '.join(f'{c}, s' for c in COLUMNS), '| GB on disk |')
  print('| --- ' * (2 + len(COLUMNS)) + '|')
  for name, rounds in measured.items():
    cells = [
      f'{statistics.median(r[column] for r in rounds):.2f}'
      for column in COLUMNS
    ]
    print('|', name, '|', ' | '.join(cells), f'| {files[name] / 1e9:.2f} |')
  verify = statistics.median(r['verify'] for r in measured['avl_jax'])
  print(f'\nverifying: {verify / files["avl_jax"] * 1e9:.2f} s a GB')


if __name__ == '__main__':
  main()
