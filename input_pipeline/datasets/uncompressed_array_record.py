"""Makes TFDS write ArrayRecord files without compression.

TFDS lets ArrayRecord compress records with Zstandard. That makes float16
features only a fifth smaller, and for large arrays decompression takes longer
than everything else in reading.
"""

import contextlib
import os
from collections.abc import Iterator

from array_record.python import array_record_module
from tensorflow_datasets.core import file_adapters


class _UncompressedAdapter(file_adapters.ArrayRecordFileAdapter):
  @classmethod
  def write_examples(cls, path, iterator) -> None:
    """Writes (key, record) pairs, as the base class but with the option."""
    writer = array_record_module.ArrayRecordWriter(
      os.fspath(path), 'group_size:1,uncompressed'
    )
    for _, record in iterator:
      writer.write(record)
    writer.close()


@contextlib.contextmanager
def write_uncompressed() -> Iterator[None]:
  """Context in which TFDS writes ArrayRecord files without compression.

  The files are read like compressed ones. TFDS has no option for this.
  """
  adapters = file_adapters.ADAPTER_FOR_FORMAT
  default = adapters[file_adapters.FileFormat.ARRAY_RECORD]
  adapters[file_adapters.FileFormat.ARRAY_RECORD] = _UncompressedAdapter
  try:
    yield
  finally:
    adapters[file_adapters.FileFormat.ARRAY_RECORD] = default
