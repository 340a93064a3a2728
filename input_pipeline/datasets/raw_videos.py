"""Opens the extraction of the raw videos of a published data set."""

import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from avl_jax import logs
from avl_jax.backbones import feature_extractor, network_names
from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.extraction.decoding.limits import Limits
from avl_jax.extraction.video_features import Extraction
from input_pipeline.datasets.own_videos.digests import Digests


def open_extraction(
  weights: tuple[str, str],
  data_dir: pathlib.Path,
  decoding: Mapping[str, Any],
  workers: int,
) -> Extraction:
  """Reads the networks; chooses a cache folder for their features.

  Args:
    weights: of the 2-D and the 3-D network, see `feature_extractor`.
    data_dir: folder of the records.
    decoding: arguments of `Limits`.
    workers: videos that are decoded at once.

  Raises:
    ReleaseError: a file of weights is missing or malformed.
  """
  files = [os.path.expanduser(file) for file in weights]
  extractor = feature_extractor.Extractor(
    resnet152=files[0], resnext101=files[1]
  )
  facts = [
    (file, os.path.getsize(file), os.path.getmtime(file))
    if os.path.isfile(file)
    else file
    for file in files
  ]
  weights_id = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
  folder = data_dir / 'extracted' / weights_id
  logs.write(
    f'Extracted features are cached in {folder}, so an interrupted preparation '
    'can resume. Delete the folder once preparation has finished.'
  )
  digests = Digests(folder.parent / 'digests.json')
  names = network_names.names_of(*files, digest=digests)
  digests.save()
  return Extraction(
    extractor,
    extractor.widths,
    folder,
    Decoder(Limits(**decoding)),
    networks=names,
    workers=workers,
  )
