"""--mode=serve: serves a page that queries an index by voice."""

import pathlib

from ml_collections import ConfigDict

from avl_jax import logs
from avl_jax.extraction.decoding.limits import Limits
from avl_jax.modes import folders, search
from avl_jax.modes.pipeline import InputPipeline
from avl_jax.page import service, serving
from avl_jax.page.options import Options


def serve(
  config: ConfigDict, workdir: pathlib.Path, pipeline: InputPipeline
) -> None:
  """Serves the page of `search.index` until a signal comes.

  Raises:
    UserError: a setting, the index or the model is not as expected, or the
      address is taken.
  """
  folders.index_folder(config)
  options = Options(**config.serve)
  options.check()
  limits = Limits(**config.prepare.decoding)
  with serving.listen(options) as listener:
    host, port = listener.getsockname()[:2]
    with (
      search.opened(
        config, workdir, pipeline, service.limits_of(limits, options)
      ) as searcher,
      service.made(searcher, options, limits, config.search.threshold) as app,
    ):
      logs.write(_welcome(options, host, port))
      serving.run(app, listener, options)


def _welcome(options: Options, host: str, port: int) -> str:
  """What is said when the page can be opened."""
  host = f'[{host}]' if ':' in host else host
  address = f'http://{host}:{port}/'
  if not options.token_file:
    return f'The page is at {address} (Ctrl-C ends it).'
  return (
    f'The page is at {address}, open it once as {address}?token=TOKEN with '
    f'the token in {options.token_file} (Ctrl-C ends it).'
  )
