"""From pooled audio and text to the joint space: separate heads or a fused one.

The functions make modules of `avlnet.AVLnet`, in its compact method, so the
names here are parameter paths below it.
"""

import jax
import jax.numpy as jnp

from avl_jax.models import heads


def separate_embeddings(
  audio: jax.Array | None,
  text: jax.Array | None,
  *,
  embed_dim: int,
  head: str,
  structure: str,
  dtype: jnp.dtype,
) -> dict[str, jax.Array]:
  """Embeds audio and text, each with a head of its own (eq. 3.2, 4.1).

  Args:
    audio: [N, C]; None: there is none.
    text: [N, E], likewise.
    embed_dim: D.
    head: see `heads.Embedding`.
    structure: 'thesis'; or 'release', whose audio head is C wide, before a
      linear projection to D.
    dtype: compute type.

  Returns:
    {'audio', 'text': [N, D]} of what there is.
  """
  embeddings, is_thesis = {}, structure == 'thesis'
  if audio is not None:
    width = embed_dim if is_thesis else audio.shape[-1]
    audio = heads.Embedding(width, dtype, head, name='audio_head')(audio)
    if not is_thesis:
      audio = heads.Linear(embed_dim, dtype, name='audio_projection')(audio)
    embeddings['audio'] = audio
  if text is not None:
    embed = heads.Embedding(embed_dim, dtype, head, name='text_head')
    embeddings['text'] = embed(text)
  return embeddings


def fused_embeddings(
  audio: jax.Array | None,
  text: jax.Array | None,
  *,
  embed_dim: int,
  head: str,
  structure: str,
  initial_text_scale: float,
  dtype: jnp.dtype,
) -> dict[str, jax.Array]:
  """Embeds audio, text and their sum with one head (eq. 4.3).

  Args:
    audio: [N, C]; None: there is none.
    text: [N, E], likewise.
    embed_dim: D.
    head: see `heads.Embedding`.
    structure: 'thesis'; or 'release', which first projects the audio to D/2.
    initial_text_scale: see `heads.FusedEmbedding`.
    dtype: compute type.

  Returns:
    As `heads.FusedEmbedding`.
  """
  is_release = structure == 'release'
  if is_release and audio is not None:
    project = heads.Linear(embed_dim // 2, dtype, name='audio_projection')
    audio = project(audio)
  return heads.FusedEmbedding(
    embed_dim,
    dtype,
    separate_biases=is_release,
    initial_text_scale=initial_text_scale,
    head=head,
    name='audio_text_head',
  )(audio, text)
