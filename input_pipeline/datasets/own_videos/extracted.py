"""Extracts features of own videos once per content, and remembers failures."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping

import numpy as np

from avl_jax.backbones import network_names
from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.extraction.decoding.limits import Limits
from avl_jax.extraction.video_features import Extraction
from avl_jax.features import MediaError, Status, UnexpectedError, clips
from avl_jax.files import write_atomically
from input_pipeline.datasets.own_videos.tables import Line

SHORTEST = 2.0  # seconds of sound and picture of a whole video


class Extracted:
  """Features of files by content; a file that failed is not tried again.

  Beside the features of a file, or of a piece of it, lies a JSON file with its
  status, reason and seconds. What timed out, or failed in a way that nobody has
  foreseen, is tried again.

  Attributes:
    extraction: of the features.
    seconds: of the video that has been extracted, not read from the cache.
    count: files that were tried.
  """

  def __init__(self, extraction: Extraction):
    """Takes the extraction, whose folder has the results of its networks."""
    self.extraction, self.seconds, self.count = extraction, 0.0, 0

  def key(self, line: Line) -> pathlib.Path:
    """Equal for lines of the same piece of the same content."""
    return self._memory(line)

  def is_known(self, line: Line) -> bool:
    """Sets status, reason and seconds of a line from what is remembered.

    Returns:
      False if its features are to be extracted.
    """
    try:
      known = json.loads(self._memory(line).read_bytes())
      status, reason = Status(known['status']), known['reason']
      seconds = float(known['seconds'])
    except (OSError, KeyError, TypeError, ValueError):
      return False
    if status == Status.TIMED_OUT or (
      status == Status.OK and not self._cached(line).is_file()
    ):
      return False
    line.seconds = seconds
    line.set_aside(status, reason)
    return True

  def extract(self, line: Line) -> None:
    """Extracts the features of a line; sets status, reason and seconds.

    Raises:
      UserError, OSError: the disk is full, or another fault of the machine.
    """
    self.count += 1
    if self._try(line):
      known = {
        'status': line.status,
        'reason': line.reason,
        'seconds': line.seconds,
      }
      write_atomically(self._memory(line), json.dumps(known) + '\n')

  def arrays(self, line: Line) -> dict[str, np.ndarray]:
    """Arrays of a line that was extracted, float16; see `Extraction`.

    What one of sound and picture has beyond the end of the other is cut off.
    """
    arrays = _read(self.extraction, line)
    return clips.trim(arrays, clips.length(arrays))

  def _cached(self, line: Line) -> pathlib.Path:
    return self.extraction.cache_file(
      pathlib.Path(), *_piece(line), np.float16, line.digest
    )

  def _memory(self, line: Line) -> pathlib.Path:
    return self._cached(line).with_suffix('.json')

  def _try(self, line: Line) -> bool:
    """Extracts; returns whether the result is certain to be the content's."""
    assert line.file is not None  # of usable lines
    is_certain = True
    if has_changed(line):
      return False
    try:
      line.seconds = clips.length(_read(self.extraction, line))
      self.seconds += line.seconds
      if not line.item.is_clip and line.seconds < SHORTEST:
        line.set_aside(
          Status.TOO_SHORT,
          f'Sound and picture last {line.seconds:.1f} s. Expected at least '
          f'{SHORTEST:g} s.',
        )
    except MediaError as error:
      line.set_aside(error.reason, str(error).removeprefix(f'{line.file}: '))
      is_certain = not isinstance(error, UnexpectedError)
    if has_changed(line):
      self._cached(line).unlink(missing_ok=True)
      return False
    return is_certain


def has_changed(line: Line) -> bool:
  """Whether a file is not as it was listed; sets its status if so."""
  assert line.file is not None  # of usable lines
  try:
    stat = line.file.stat()
    is_same = (stat.st_size, stat.st_mtime_ns) == line.stat
  except OSError:
    is_same = False
  if not is_same:
    line.set_aside(
      Status.UNREADABLE,
      'The file has changed meanwhile. Run the command again.',
    )
  return not is_same


def _piece(line: Line) -> tuple[float, float]:
  return line.item.start, line.item.end


def _read(extraction: Extraction, line: Line) -> dict[str, np.ndarray]:
  assert line.file is not None  # of usable lines
  return extraction(
    line.file, *_piece(line), dtype=np.float16, content=line.digest
  )


@dataclasses.dataclass(frozen=True)
class Recipe:
  """Arguments that make an `Extracted` in any thread, process or machine.

  Attributes:
    cache: folder of the features of all networks.
    names: of the networks, stream -> name.
    make_extractor: reads their weights.
    limits: of the decoding of a video; None: the defaults.
    beam: options of Apache Beam, whose workers do the work; '': this process
      does it.
  """

  cache: pathlib.Path
  names: Mapping[str, str]
  make_extractor: Callable[[], Callable[..., Mapping]]
  limits: Limits | None = None
  beam: str = ''

  @property
  def folder(self) -> pathlib.Path:
    """Of the features of these networks."""
    return self.cache / '-'.join(self.names.values()).replace(':', '_')

  def use(
    self, extractor: 'LazyExtractor', decoder: Decoder | None
  ) -> Extracted:
    """An `Extracted` that counts its own time; all share the cache."""
    extraction = Extraction(
      extractor,
      network_names.widths_of(self.names),
      self.folder,
      decoder,
      skip_silent=True,
      networks=self.names,
    )
    return Extracted(extraction)


class LazyExtractor:
  """A `feature_extractor.Extractor` that reads its weights at the first use.

  When all features are in the cache, no network is needed.
  """

  def __init__(self, make: Callable[[], Callable[..., Mapping]]):
    """Takes the function that makes the extractor."""
    self._make = make
    self._extractor: Callable[..., Mapping] | None = None

  @property
  def seconds(self) -> Mapping[str, float]:
    """See `feature_extractor.Extractor`; {} if it has not been used."""
    return getattr(self._extractor, 'seconds', {})

  def open(self) -> None:
    """Reads the weights, so that what is wrong with them is no file's fault."""
    self._extractor = self._extractor or self._make()

  def __call__(self, *arguments) -> Mapping[str, np.ndarray]:
    """Features of a video; see `feature_extractor.Extractor`."""
    self.open()
    assert self._extractor is not None
    return self._extractor(*arguments)
