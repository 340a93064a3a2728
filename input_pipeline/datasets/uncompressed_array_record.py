"""Records of large arrays, whose decompression takes longer than all else.

TFDS has ArrayRecord compress them with Zstandard, which makes a fifth less of
features in float16.
"""

import contextlib
import os
from collections.abc import Iterator

from array_record.python import array_record_module
from tensorflow_datasets.core import file_adapters


class _Uncompressed(file_adapters.ArrayRecordFileAdapter):
  @classmethod
  def write_examples(cls, path, iterator) -> None:
    """Writes (key, record) pairs; likewise but for the option."""
    writer = array_record_module.ArrayRecordWriter(
      os.fspath(path), 'group_size:1,uncompressed'
    )
    for _, record in iterator:
      writer.write(record)
    writer.close()


@contextlib.contextmanager
def uncompressed() -> Iterator[None]:
  """While it is open, TFDS writes ArrayRecord files without compression.

  They are read like others. TFDS has no option for this.
  """
  adapters = file_adapters.ADAPTER_FOR_FORMAT
  usual = adapters[file_adapters.FileFormat.ARRAY_RECORD]
  adapters[file_adapters.FileFormat.ARRAY_RECORD] = _Uncompressed
  try:
    yield
  finally:
    adapters[file_adapters.FileFormat.ARRAY_RECORD] = usual
