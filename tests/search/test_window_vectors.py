"""Vectors of windows."""

import dataclasses

import numpy as np

from avl_jax import trained_model
from avl_jax.models import davenet
from avl_jax.search import windows
from avl_jax.search.window_vectors import WindowVectors

RNG = np.random.default_rng(0)
SOUND = {
  'spectrogram': RNG.uniform(-80, 0, (500, 40)).astype(np.float16),
  'visual_2d': np.zeros((0, 1280), np.float16),
}


def test_reach_of_the_authors_encoder():
  """4 x 1 + 12 x 2 of the first stage, twice as much of each next one."""
  assert davenet.reach((2, 2, 2, 2)) == 28 * (1 + 2 + 4 + 8)
  assert davenet.reach((1,)) == 4 + 8


def test_padding_beyond_the_reach_does_not_matter(run):
  """And padding within the reach does."""
  trained = dataclasses.replace(trained_model.load(run), num_frames=400)
  spans = windows.lay(5.0, 1.0, 0.7)
  frames, embed = [], trained.embed_batch

  def embed_batch(batch):
    frames.append(batch['spectrogram'].shape[1])
    return embed(batch)

  trained.__dict__['embed_batch'] = embed_batch
  whole, _ = WindowVectors(trained, ('audio',))(SOUND, spans)
  assert {*frames} == {400}
  short, present = WindowVectors(trained, ('audio',), longest=1.0)(SOUND, spans)
  assert frames[-1] == 112  # 100 and a reach of 12
  assert present['audio'].all()
  np.testing.assert_allclose(
    short['audio'], whole['audio'], rtol=1e-4, atol=1e-6
  )
  cut = WindowVectors(trained, ('audio',))
  cut._num_frames = 100
  within, _ = cut(SOUND, spans)
  difference = np.abs(within['audio'] - whole['audio']).max()
  assert difference > 100 * np.abs(short['audio'] - whole['audio']).max()
