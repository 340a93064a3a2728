"""Vectors of windows."""

import copy
import dataclasses

import numpy as np

from avl_jax import trained_model
from avl_jax.models import davenet
from avl_jax.search.update import windows
from avl_jax.search.update.window_vectors import WindowVectors

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


def test_windows_are_pooled_as_in_the_run(run):
  """A run that sees the centre frame gets the one in a window's centre."""
  trained = trained_model.load(run)
  rows = RNG.uniform(0, 1, (10, 1280)).astype(np.float16)
  arrays = {'spectrogram': SOUND['spectrogram'], 'visual_2d': rows}
  spans = np.array([[0.0, 4.0], [2.0, 8.0]])
  found = {}
  for pooling, seen in (
    ('max', [rows[:5].max(0), rows[2:9].max(0)]),
    ('centre', [rows[2], rows[5]]),
  ):
    networks = copy.copy(trained.visual)
    networks.pooling = pooling
    this = dataclasses.replace(trained, visual=networks)
    found[pooling], _ = WindowVectors(this, ('video',))(arrays, spans)
    visual = np.float32(seen)
    visual /= np.linalg.norm(visual, axis=1, keepdims=True)
    expected = trained.embed_batch({'visual': visual})['video']
    np.testing.assert_allclose(
      found[pooling]['video'], expected, rtol=1e-3, atol=1e-5
    )
  difference = found['max']['video'] - found['centre']['video']
  assert np.abs(difference).max() > 1e-3  # A hundred times the tolerance.
