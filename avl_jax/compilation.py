"""How XLA compiles: a cache on the disk, and what it must not do on GPUs."""

import pathlib
from collections.abc import Callable
from typing import Any

import jax

from avl_jax.errors import UserError

Tree = Any


def cache(folder: str) -> None:
  """Enables XLA's persistent compilation cache in a private folder.

  Later processes then start in seconds. The folder holds executable code, so
  it gets mode 0700 and must belong to the user.

  Raises:
    UserError: the folder cannot be created, or belongs to another user.
  """
  path = pathlib.Path(folder).expanduser()
  try:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)  # Fails unless the user owns the folder.
  except OSError as error:
    raise UserError(
      f'The compilation cache cannot be in {path}: {error}. Choose another '
      'folder, --config.compilation_cache=FOLDER, or disable the cache, '
      "--config.compilation_cache=''."
    ) from error
  jax.config.update('jax_compilation_cache_dir', str(path))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 1.0)


def options() -> dict[str, bool]:
  """XLA's options for programs in which an encoder has no gradient.

  XLA for GPUs merges the choice of every second frame with the product after
  it into a Triton kernel, and aborts the process at 'Check failed:
  subdim_size_accumulator == dim_size' (jax 0.11.2, H200).
  """
  is_gpu = jax.default_backend() == 'gpu'
  return {'xla_gpu_enable_triton_gemm': False} if is_gpu else {}


def without_gradient(mapped: Any) -> Callable:
  """Calls what `jax.pmap` or `jax.jit` returned, compiled with `options`."""
  programs: dict[tuple, jax.stages.Compiled] = {}

  def call(*arguments: Tree) -> Tree:
    leaves, structure = jax.tree.flatten(arguments)
    key = structure, *((x.shape, x.dtype) for x in leaves)
    if key not in programs:
      lowered = mapped.lower(*arguments)
      programs[key] = lowered.compile(compiler_options=options())
    program = programs[key]
    return program(*jax.device_put(arguments, program.input_shardings[0]))

  return call
