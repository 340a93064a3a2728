"""Time and memory of exact search, beside NumPy and FAISS.

  python -m benchmarks.search                           # 40,000 vectors of 4096
  python -m benchmarks.search --count 1000000 --dtypes float16   # 8.2 GB
  python -m benchmarks.search --count 1000000 --dtypes float32   # 16.4 GB

Each method runs in a process of its own. Small ones take turns; of large ones
one runs at a time. All have the same made-up vectors; the last column says how
many rows are those of the first method. The share is that of the memory's
bandwidth: what all cores together read when they do nothing else. GiB are the
process' own, and what it maps of files. `pip install -e '.[search]'` for all
rows of the table.
"""

import argparse
import concurrent.futures
import contextlib
import functools
import multiprocessing
import os
import pathlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np

from avl_jax.search.store import products
from avl_jax.search.store.index import Description, Index, IndexedFile

METHODS = {
  'float32': ('index', 'NumPy', 'FAISS Flat'),
  'float16': ('index', 'index, NumPy alone', 'NumPy', 'FAISS fp16 quantizer'),
}
WINDOWS = 1000  # Of a made-up file.
K = 10
LARGE = 4 << 30  # Bytes from which one process runs at a time.


def made_up(number: int, width: int, dtype: str) -> np.ndarray:
  """Vectors [WINDOWS, width] of length about 1 of file `number`."""
  factor = np.float32((1 + number * 1e-4) / width**0.5)
  return (_normal(number % 16, width) * factor).astype(dtype)


@functools.cache
def _normal(seed: int, width: int, count: int = WINDOWS) -> np.ndarray:
  rng = np.random.default_rng(seed)
  return rng.standard_normal((count, width), np.float32)


def add(index: Index, number: int, vectors: np.ndarray) -> None:
  """Adds a made-up file."""
  starts = 5.0 * np.arange(len(vectors))
  file = IndexedFile(f'{number}.mp4', f'{number:064d}', 1, 1, starts[-1] + 10)
  present = {'video': np.ones(len(vectors), bool)}
  windows = np.stack([starts, starts + 10], axis=1)
  index.add(file, windows, {'video': vectors}, present)


def build(folder: pathlib.Path, count: int, width: int, dtype: str) -> None:
  """Makes an index of `count` vectors, a multiple of WINDOWS."""
  like = Description('m', 'b', {}, 10.0, 5.0, ('video',), width, dtype)
  fsync, os.fsync = os.fsync, lambda _: None
  with Index.create(folder, like) as index:
    for number in range(count // WINDOWS):
      add(index, number, made_up(number, width, 'float32'))
  os.fsync = fsync


def _index(options: argparse.Namespace) -> Callable:
  if 'alone' in options.method:
    products.fast = None
  index = Index.open(options.folder)
  return lambda q: index.search('video', q, K)[1]


def _numpy(options: argparse.Namespace) -> Callable:
  """One product; half precision through `astype`, 1000 vectors at a time."""
  number = options.count // WINDOWS
  made = np.empty((number * WINDOWS, options.width), options.dtype)
  for i, part in enumerate(np.split(made, number)):
    part[:] = made_up(i, options.width, options.dtype)

  def search(q: np.ndarray) -> np.ndarray:
    if options.dtype == 'float32':
      scores = q @ made.T
    else:
      starts = range(0, len(made), WINDOWS)
      parts = [q @ made[s : s + WINDOWS].astype(np.float32).T for s in starts]
      scores = np.concatenate(parts, axis=1)
    best = np.argpartition(scores, -K, axis=1)[:, -K:]
    order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1)
    return np.take_along_axis(best, order, 1)

  return search


def _faiss(options: argparse.Namespace) -> Callable:
  """FAISS' own memory is filled in place: `add` would need twice as much."""
  import faiss

  number, width = options.count // WINDOWS, options.width
  if options.dtype == 'float32':
    index = faiss.IndexFlatIP(width)
  else:
    half = faiss.ScalarQuantizer.QT_fp16
    index = faiss.IndexScalarQuantizer(width, half, faiss.METRIC_INNER_PRODUCT)
    index.is_trained = True
  index.codes.resize(number * WINDOWS * index.code_size)
  index.ntotal = number * WINDOWS
  codes = faiss.rev_swig_ptr(index.codes.data(), index.codes.size())
  codes = codes.view(options.dtype).reshape(-1, width)
  for i, part in enumerate(np.split(codes, number)):
    part[:] = made_up(i, width, options.dtype)
  return lambda q: index.search(q, K)[1]


def memory() -> tuple[float, float]:
  """GiB of this process' own memory at present, and of files it maps."""
  lines = pathlib.Path('/proc/self/status').read_text().splitlines()
  found = dict(line.split(':', 1) for line in lines)
  own, mapped = (
    int(found[f'Rss{kind}'].split()[0]) / 2**20 for kind in ('Anon', 'File')
  )
  return own, mapped


def _work(connection, options: argparse.Namespace) -> None:
  """Runs in a process: answers each number of queries, until 0."""
  make = {'index': _index, 'NumPy': _numpy, 'FAISS': _faiss}
  try:
    search = make[options.method.split(',')[0].split()[0]](options)
  except ImportError as error:
    connection.send(str(error))
    return
  connection.send('')
  while count := connection.recv():
    asked = _normal(1000, options.width, count)
    start, begun = time.perf_counter(), time.process_time()
    rows = search(asked)
    seconds, cpu = time.perf_counter() - start, time.process_time() - begun
    connection.send((seconds, cpu, memory(), np.asarray(rows)))


@contextlib.contextmanager
def worker(options: argparse.Namespace, method: str) -> Iterator[Callable]:
  """Starts a process; yields ask(queries) -> what `_work` sends."""
  context = multiprocessing.get_context('spawn')
  ours, theirs = context.Pipe()
  mine = argparse.Namespace(**{**vars(options), 'method': method})
  process = context.Process(target=_work, args=(theirs, mine))
  process.start()
  theirs.close()

  def ask(count: int) -> tuple:
    ours.send(count)
    return ours.recv()

  missing = ours.recv()
  try:
    yield (lambda _: missing) if missing else ask
  finally:
    with contextlib.suppress(BrokenPipeError):
      ours.send(0)
    process.join()


def bandwidth(seconds: float = 2) -> float:
  """Bytes a second that all cores read of 1 GiB together, the best of many."""
  cores = len(os.sched_getaffinity(0))
  parts = np.array_split(np.ones(1 << 27, np.uint64), 8 * cores)
  best, end = np.inf, time.perf_counter() + seconds
  with concurrent.futures.ThreadPoolExecutor(cores) as pool:
    while time.perf_counter() < end:
      start = time.perf_counter()
      list(pool.map(np.max, parts))
      best = min(best, time.perf_counter() - start)
  return (1 << 30) / best


def compare(options: argparse.Namespace, dtype: str) -> None:
  """Prints a row for each method and number of queries."""
  options = argparse.Namespace(**{**vars(options), 'dtype': dtype})
  size = options.count * options.width * np.dtype(dtype).itemsize
  names = [name for name in METHODS[dtype] if name not in options.without]
  answers: dict[tuple[str, int], list] = {}
  for group in [names] if size < LARGE else [[name] for name in names]:
    with contextlib.ExitStack() as stack:
      ask = {m: stack.enter_context(worker(options, m)) for m in group}
      for turn in range(options.rounds + 1):  # The first one warms up.
        for method in group:
          for count in options.queries:
            answer = ask[method](count)
            if turn or isinstance(answer, str):
              answers.setdefault((method, count), []).append(answer)
  speed = bandwidth()
  for (method, count), each in answers.items():
    label = f'| {dtype} | {method} | {count} |'
    if isinstance(each[0], str):
      print(f'{label} {each[0]} | | | | |')
      continue
    seconds = [answer[0] for answer in each]
    cpu = min(answer[1] for answer in each)
    own, mapped = each[-1][2]
    first = answers[names[0], count][0]
    same = np.mean(each[0][3] == first[3])
    share = size / min(seconds) / speed
    print(
      f'{label} {1e3 * statistics.median(seconds):.0f} | '
      f'{1e3 * min(seconds):.0f} | {1e3 * cpu:.0f} | {100 * share:.0f} % | '
      f'{own:.2f} + {mapped:.2f} | {100 * same:.1f} % |',
      flush=True,
    )
  print(f'\nbandwidth: {speed / 1e9:.1f} GB/s')


def main() -> None:
  """Prints the tables."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--count', type=int, default=40_000, help='of vectors')
  parser.add_argument('--width', type=int, default=4096)
  parser.add_argument('--queries', type=int, nargs='+', default=[1, 64])
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--dtypes', nargs='+', default=list(METHODS))
  parser.add_argument('--without', nargs='*', default=[], help='methods')
  parser.add_argument('--scratch', help='folder for the made-up index')
  options = parser.parse_args()
  scratch = pathlib.Path(tempfile.mkdtemp(dir=options.scratch))
  try:
    print(
      '| vectors | method | queries | ms | best | CPU | share | GiB | same |'
    )
    print('| --- ' * 9 + '|')
    for dtype in options.dtypes:
      options.folder = scratch / dtype
      build(options.folder, options.count, options.width, dtype)
      compare(options, dtype)
      shutil.rmtree(options.folder)
  finally:
    shutil.rmtree(scratch, ignore_errors=True)


if __name__ == '__main__':
  main()
