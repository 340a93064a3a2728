"""Embeds batches with a model, spread over all devices."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import jax
import numpy as np

from avl_jax import multihost, parallel
from avl_jax.errors import ConfigError
from avl_jax.models.avlnet import AVLnet

INPUTS = ('spectrogram', 'num_frames', 'visual', 'image', 'words')

Embeddings = Mapping[str, np.ndarray]  # modality -> float32 [N, D]


@dataclasses.dataclass(frozen=True)
class Embedded:
  """Embeddings of every example of an evaluation.

  Attributes:
    embeddings: modality -> float32 [N, D].
    ids: str [N].
    subsets: str [N], the split that each example is from.
  """

  embeddings: Embeddings
  ids: np.ndarray
  subsets: np.ndarray


def in_dtype(model: AVLnet, dtype: str = 'float32') -> AVLnet:
  """The model computing in another type than it was trained in.

  In bfloat16 the scores of a trained model can differ by points.

  Args:
    model: any.
    dtype: name of the type; '': the model's own. A float64 model stays one.

  Raises:
    ConfigError: the type is unknown.
  """
  if not dtype or model.dtype == 'float64':
    return model
  return model.clone(dtype=dtype)


def make_embed(model: AVLnet) -> Callable[[Mapping, Mapping], Embeddings]:
  """Returns embed(variables, batch) -> embeddings of what the batch has.

  A batch holds any of the `INPUTS` of `AVLnet.__call__`: recordings alone
  ('spectrogram' and 'num_frames'), visual features alone ('visual'), or
  several. Other entries, such as 'id', are ignored. A batch may have any size:
  it is padded to the largest size seen so far, so that one shape is compiled
  for each set of inputs. On several hosts, each embeds its own batches, and
  all must make the same number of calls.

  Example:
    embed = make_embed(model)
    spectrogram = audio.log_mel_spectrogram(waveform)  # [T, 40]
    batch = {
      'spectrogram': spectrogram[None],
      'num_frames': np.array([len(spectrogram)], np.int32),
    }
    embed(variables, batch)['audio']  # float32 [1, D]

  Args:
    model: see AVLnet.
  """
  forward = parallel.pmap_forward(
    lambda variables, batch: model.apply(variables, batch, train=False)
  )

  def embed(variables: Mapping, batch: Mapping) -> Embeddings:
    inputs = {key: batch[key] for key in INPUTS if key in batch}
    return forward(variables, inputs)

  return embed


def make_embed_evaluation(
  model: AVLnet, before_batch: Callable[[], None] = lambda: None
) -> Callable[..., Embedded]:
  """Returns embed(variables, batches, num_examples=None) -> Embedded.

  All devices of all hosts share the work; every host gets all embeddings.

  `batches` are this host's, with 'id' and 'subset'; every host must pass the
  same number of them. Rows from `num_examples` on are padding and are dropped
  (None: there is no padding). `embed` raises ConfigError if there are no
  examples, and ValueError if an id occurs twice or an embedding is not finite.

  Args:
    model: see AVLnet.
    before_batch: called before each batch; an exception that it raises ends
      the embedding.
  """
  embed_batch = make_embed(model)

  def embed(
    variables: Mapping,
    batches: Iterable[Mapping],
    num_examples: int | None = None,
  ) -> Embedded:
    parts = []
    if num_examples == 0:
      raise ConfigError(
        'An evaluation has no examples. Choose other datasets or splits for '
        'it in eval_data.evaluations.'
      )
    for batch in batches:
      before_batch()
      embeddings = embed_batch(variables, batch)
      parts.append((embeddings, batch['id'], batch['subset']))
    joined = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
    embeddings, ids, subsets = jax.tree.map(
      lambda x: x[:num_examples], multihost.from_all(joined)
    )
    check_finite(embeddings)
    if len(np.unique(ids)) < len(ids):
      raise ValueError('An id occurs twice in the evaluation.')
    return Embedded(embeddings, ids, subsets)

  return embed


def check_finite(embeddings: Embeddings) -> None:
  """Raises ValueError if an embedding is NaN or infinite."""
  for name, x in embeddings.items():
    if not np.isfinite(x).all():
      raise ValueError(
        f'The {name} embeddings are not all finite. Check the checkpoint and'
        ' the features.'
      )
