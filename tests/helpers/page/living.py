"""Servers that listen, in a thread of the tests."""

import contextlib
import threading
import time

from avl_jax.page import serving
from avl_jax.page.options import Options


@contextlib.contextmanager
def server(app, **options):
  """Context with the address of a server of an application."""
  options = Options(port=0, **options)
  listener = serving.listen(options)
  running = serving.server(app, options)
  thread = threading.Thread(target=running.run, args=([listener],), daemon=True)
  thread.start()
  while not running.started:
    time.sleep(0.01)
  try:
    yield f'http://127.0.0.1:{listener.getsockname()[1]}/'
  finally:
    running.should_exit = True
    thread.join(10)
    listener.close()
  assert not thread.is_alive()
