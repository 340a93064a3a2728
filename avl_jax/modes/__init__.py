"""Modes of `main.py`, one module each.

Each function takes (config, workdir, input_pipeline).
"""

from avl_jax.modes import (
  compare,
  convert,
  evaluate,
  index,
  prepare,
  reproduce,
  search,
  serve,
  train,
)

FUNCTIONS = {
  'train': train.train,
  'eval': evaluate.evaluate,
  'prepare': prepare.prepare,
  'compare': compare.compare,
  'import': convert.import_mode,
  'export': convert.export_mode,
  'reproduce': reproduce.reproduce,
  'index': index.index,
  'search': search.search,
  'serve': serve.serve,
}
