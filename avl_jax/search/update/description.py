"""Description of the model that makes an index."""

from collections.abc import Sequence

from avl_jax.backbones import network_names
from avl_jax.checkpoints.fingerprints import branch_fingerprint
from avl_jax.errors import UserError
from avl_jax.extraction import media_folder, video_features
from avl_jax.retrieval import evaluation
from avl_jax.search.store.index import Description
from avl_jax.trained_model import TrainedModel


def describe(
  trained: TrainedModel,
  *,
  window: float,
  step: float,
  names: Sequence[str],
  dtype: str,
) -> Description:
  """Describes an index that a model makes.

  Args:
    trained: the model.
    window: length of a window, seconds.
    step: seconds from window to window.
    names: of the vectors, of 'video', 'audio', 'sum'.
    dtype: of the stored vectors.

  Raises:
    UserError: the model encodes images itself, or the networks of its features
      are not named or are others.
  """
  return Description(
    model=evaluation.fingerprint(trained.variables),
    branch=branch_fingerprint(trained.model, trained.variables),
    networks=networks(trained),
    window=float(window),
    step=float(step),
    names=tuple(names),
    dim=trained.model.embed_dim,
    dtype=dtype,
    pooling=trained.visual.pooling,
    decoding=video_features.VERSION,
  )


def networks(trained: TrainedModel) -> dict[str, str]:
  """Stream -> name of the network whose features the model takes.

  Raises:
    UserError: see `describe`.
  """
  if trained.model.image_blocks:
    raise UserError(
      'The model encodes images itself (model.image_blocks), and takes no '
      'features of videos, so it cannot index them. Name the workdir of a '
      'model of visual features, such as that of configs/own_videos.py.'
    )
  widths = trained.visual.extractor.widths  # Raises if there are none.
  found = network_names.names_of(
    **trained.visual.files, digest=media_folder.digest
  )
  known = trained.metadata.get('networks', {})
  names = {s: found[s] for s in trained.visual.streams if s in widths}
  for stream, name in names.items():
    if known.get(stream, name) != name:
      raise UserError(
        f'The model takes {stream} of the network {known[stream]}. The weights '
        f'that are named here are those of {name}. Set '
        f'--config.prepare.{name.partition(":")[0]} to the file of '
        f'{known[stream]}.'
      )
  return names
