"""Settings of XLA: a compilation cache on disk, and no Triton on GPUs."""

import os
import pathlib

import jax

from avl_jax.errors import UserError

_TRITON = 'xla_gpu_enable_triton_gemm'


def set_up(folder: str) -> None:
  """Sets a process up, before it compiles: `avoid_triton`, and `cache`.

  Args:
    folder: of the cache; '': there is none.
  """
  avoid_triton()
  if folder:
    cache(folder)


def avoid_triton() -> None:
  """Lets XLA compute products on GPUs without Triton, from the first one on.

  Where no gradient needs a shortcut's every second frame, XLA merges that
  choice with the product after it into a Triton kernel, and aborts the process
  at 'Check failed: subdim_size_accumulator == dim_size' (jax 0.11.2, H200).

  XLA reads the variable XLA_FLAGS once, before it compiles for the first time
  in a process. What it says of Triton already stays.
  """
  flags = os.environ.get('XLA_FLAGS', '')
  if _TRITON not in flags:
    os.environ['XLA_FLAGS'] = f'{flags} --{_TRITON}=false'.strip()


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
