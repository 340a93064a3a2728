"""Writes ArrayRecord files without compression.

TFDS lets ArrayRecord compress records with Zstandard. That makes float16
features only a fifth smaller, and for large arrays decompression takes longer
than everything else in reading.
"""

import os
from collections.abc import Iterable

from array_record.python import array_record_module
from tensorflow_datasets.core import file_adapters, writer
from tensorflow_datasets.core.utils import type_utils


class UncompressedWriter(writer.ExampleWriter):
  """What a builder's `_example_writer` returns to write without compression.

  The files are read like compressed ones. Beam's workers get the writer with
  the pipeline; a setting of this process would not reach them.
  """

  def __init__(self):
    """Writes ArrayRecord files."""
    super().__init__(file_adapters.FileFormat.ARRAY_RECORD)

  def write(
    self,
    path: str | os.PathLike,
    examples: Iterable[type_utils.KeySerializedExample],
  ) -> None:
    """Writes (key, record) pairs, as the base class but with the option."""
    file = array_record_module.ArrayRecordWriter(
      os.fspath(path), 'group_size:1,uncompressed'
    )
    for _, record in examples:
      file.write(record)
    file.close()
