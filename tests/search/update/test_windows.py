"""Windows of files."""

import numpy as np
import pytest

from avl_jax.features import clips
from avl_jax.search.update import windows
from input_pipeline.datasets.own_videos import examples

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
  ('seconds', 'window', 'step', 'expected'),
  [
    (0, 10, 5, [(0, 0)]),
    (3.2, 10, 5, [(0, 3.2)]),
    (10, 10, 5, [(0, 10)]),
    (10.5, 10, 5, [(0, 10), (5, 10.5)]),
    (26, 10, 5, [(0, 10), (5, 15), (10, 20), (15, 25), (20, 26)]),
    (26, 10, 10, [(0, 10), (10, 20), (20, 26)]),
    (23, 10, 10, [(0, 10), (10, 20), (18, 23)]),
    (20.01, 10, 10, [(0, 10), (10, 20), (15, 20.01)]),
    (0.6, 0.5, 0.5, [(0, 0.5), (0.35, 0.6)]),
    (4.5, 1.5, 0.5, [(k / 2, k / 2 + 1.5) for k in range(7)]),
  ],
)
def test_where_they_lie(seconds, window, step, expected):
  np.testing.assert_allclose(windows.lay(seconds, window, step), expected)


@pytest.mark.parametrize('step', [2.0, 5.0, 7.5, 10.0])
def test_they_cover_the_file(step):
  for seconds in RNG.uniform(0.1, 120, 200):
    spans = windows.lay(seconds, 10.0, step)
    assert spans[0, 0] == 0
    assert spans[-1, 1] == seconds
    assert (spans[1:, 0] <= spans[:-1, 1]).all()
    assert (np.diff(spans[:, 0]) > 0).all()
    lengths = spans[:, 1] - spans[:, 0]
    assert (lengths >= min(5, seconds)).all()
    assert (lengths <= 10).all()
    assert len(spans) <= 2 + seconds / step


def test_those_of_evaluations_are_among_them():
  """With a step of a window."""
  for seconds in [*range(1, 60), *RNG.uniform(1, 60, 50)]:
    found = {tuple(span) for span in windows.lay(seconds, 10.0, 10.0)}
    assert {*examples.windows(seconds)} <= found


def _arrays(frames, rows):
  return {
    'spectrogram': RNG.standard_normal((frames, 40)).astype(np.float16),
    'visual_2d': RNG.random((rows, 6)).astype(np.float16),
  }


def test_a_ragged_end_is_cut_as_in_records():
  arrays = _arrays(2650, 26)
  trimmed, seconds = windows.trim(arrays)
  assert seconds == clips.length(arrays) == 26
  assert {name: len(x) for name, x in trimmed.items()} == {
    'spectrogram': 2600,
    'visual_2d': 26,
  }


@pytest.mark.parametrize(
  ('frames', 'rows', 'seconds'), [(2650, 20, 26.5), (900, 26, 26), (0, 7, 7)]
)
def test_what_one_has_beyond_the_other_is_kept(frames, rows, seconds):
  arrays = _arrays(frames, rows)
  trimmed, found = windows.trim(arrays)
  assert found == seconds
  assert len(trimmed['spectrogram']) == frames
  assert len(trimmed['visual_2d']) == rows


def test_which_have_sound_and_which_pictures():
  arrays = _arrays(1250, 26)
  spans = windows.lay(26.0, 10.0, 5.0)
  np.testing.assert_array_equal(
    windows.has(arrays, ['spectrogram'], spans), [1, 1, 1, 0, 0]
  )
  assert windows.has(arrays, ['visual_2d'], spans).all()
  both = windows.has(arrays, ['visual_2d', 'spectrogram'], spans)
  np.testing.assert_array_equal(both, [1, 1, 1, 0, 0])
  silent = _arrays(0, 26)
  assert not windows.has(silent, ['spectrogram'], spans).any()
  # Half a second of sound is all that the file has.
  short = _arrays(50, 0)
  assert windows.has(short, ['spectrogram'], np.array([[0, 0.5]])).all()


def test_a_picture_is_a_window():
  arrays = _arrays(0, 1)
  span = windows.lay(0.0, 10.0, 5.0)
  assert windows.has(arrays, ['visual_2d'], span).all()
  assert not windows.has(arrays, ['spectrogram'], span).any()
  found = windows.inputs(arrays, span, 100)['visual'][0]
  row = arrays['visual_2d'][0].astype(np.float32)
  np.testing.assert_allclose(found, row / np.linalg.norm(row), rtol=1e-6)


def test_inputs_are_those_of_the_clips():
  arrays = _arrays(2600, 26)
  spans = windows.lay(26.0, 10.0, 10.0)
  found = windows.inputs(arrays, spans, 1200)
  for i, (start, end) in enumerate(spans):
    clip = clips.whole_clip(examples.cut(arrays, int(start), end), 1200)
    assert clip['num_frames'] > 590
    for key, value in clip.items():
      np.testing.assert_array_equal(found[key][i], value)
