"""Options of Apache Beam, and the runners that execute our pipelines.

Apache Beam is the extra `beam` of this program: it is imported only where
`prepare.beam` is set.
"""

import contextlib
import errno
import os
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from avl_jax.errors import UserError

_FAMILIES = ('own_videos', 'narrated_videos')
_EXPECTED = (
  "Expected Beam's options, such as '--runner=DirectRunner "
  "--direct_num_workers=2 --direct_running_mode=multi_processing', or '' for "
  'this process. Set --config.prepare.beam.'
)


def read(text: str) -> tuple[Any, Any]:
  """Reads `prepare.beam`.

  Args:
    text: options as on a command line.

  Returns:
    runner, or None for the one that the options name; and options, for one
    pipeline.

  Raises:
    UserError: Beam is not installed, or the options name no runner that
      computes what a pipeline says.
  """
  try:
    from apache_beam.options import pipeline_options
  except ImportError as error:
    raise UserError(
      f'prepare.beam is {text!r}, but Apache Beam is not installed. Run '
      "`pip install '.[beam]'` in the folder of this program, here and on all "
      'workers.'
    ) from error
  try:
    words = shlex.split(text)
  except ValueError as error:
    raise UserError(f'prepare.beam is {text!r}: {error}. {_EXPECTED}') from None
  options = pipeline_options.PipelineOptions(words)
  standard = options.view_as(pipeline_options.StandardOptions)
  if not standard.runner:
    raise UserError(f'prepare.beam is {text!r}: no --runner. {_EXPECTED}')
  name = standard.runner.rpartition('.')[2].lower().removesuffix('runner')
  if name == 'dask':
    raise UserError(
      f"prepare.beam is {text!r}. Beam's runner for Dask computes one branch "
      'of a pipeline with several, and miscounts (2.77): it would lose videos. '
      'Choose another runner (see input_pipeline/README.md).'
    )
  worker = options.view_as(pipeline_options.WorkerOptions)
  if not worker.default_sdk_harness_log_level:
    worker.default_sdk_harness_log_level = 'ERROR'
  return _direct(options) if name == 'direct' else None, options


def _direct(options: Any) -> Any:
  """The runner that Beam's direct runner takes without Prism.

  Prism is a program that the direct runner looks for first, and downloads. It
  has no worker processes.
  """
  from apache_beam.portability.api import beam_provision_api_pb2
  from apache_beam.runners.portability import portable_runner
  from apache_beam.runners.portability.fn_api_runner import fn_runner

  # The options reach the worker processes with it, as from the direct runner.
  for_workers = portable_runner.JobServiceHandle.encode_pipeline_options(
    options.get_all_options()
  )
  info = beam_provision_api_pb2.ProvisionInfo(pipeline_options=for_workers)
  return fn_runner.FnApiRunner(
    provision_info=fn_runner.ExtendedProvisionInfo(info)
  )


def check(text: str, datasets: Sequence[str]) -> None:
  """Raises UserError unless the data sets can be prepared with the options.

  Args:
    text: see `read`; '': without Beam.
    datasets: names 'dataset/config'.
  """
  if not text or not datasets:
    return
  for name in datasets:
    if name.partition('/')[0] not in _FAMILIES:
      raise UserError(
        f'prepare.beam is {text!r}, but {name} is not prepared on Apache Beam. '
        f'Expected data sets of {" or ".join(_FAMILIES)}. Set '
        "--config.prepare.beam to ''."
      )
  read(text)


@contextlib.contextmanager
def explained(title: str) -> Iterator[None]:
  """Turns the error of a runner into a UserError; one of a full disk stays.

  A runner raises what a worker has raised as text, and other errors when a
  worker has ended.
  """
  try:
    yield
  except Exception as error:
    if isinstance(error, UserError) or os.strerror(errno.ENOSPC) in str(error):
      raise
    lines = [line for line in str(error).splitlines() if line.strip()]
    last = lines[-1].strip() if lines else type(error).__name__
    raise UserError(
      f"{title}: Apache Beam's pipeline has failed: {last.rstrip('.')}. What "
      'was extracted is kept. See the lines above, then run the same command '
      'again to resume.'
    ) from error
