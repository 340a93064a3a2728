"""Visual inputs of a model, without a network."""

import types

import numpy as np
import pytest

from avl_jax.extraction.model_inputs import VisualInputs


@pytest.mark.parametrize(
  ('pooling', 'expected'),
  [('centre', [0, 0, 1, 0, 0]), ('max', [0.2**0.5] * 5)],
)
def test_videos_are_pooled_as_in_the_run(pooling, expected):
  inputs = VisualInputs(5, ('visual_2d',), pooling=pooling)
  # In place of the networks: each frame has a feature of its own.
  extractor = types.SimpleNamespace(
    widths={'visual_2d': 5},
    image_features=lambda images: np.eye(len(list(images)), dtype=np.float32),
  )
  inputs.__dict__['extractor'] = extractor
  found = inputs.of_video(np.zeros((5, 2, 2, 3), np.uint8))
  np.testing.assert_allclose(found, expected, rtol=1e-6)
