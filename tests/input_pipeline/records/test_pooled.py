"""Records whose visual features are pooled already."""

import numpy as np
import pytest

from input_pipeline.records import bad_records


@pytest.mark.parametrize(
  ('features', 'seconds', 'more', 'is_pooled'),
  [
    (1, 10, {}, True),
    (2, 10, {}, False),
    (1, 2, {}, False),  # A clip of two seconds has one feature, or two.
    (1, 10, {'image': b''}, False),  # a still with a long recording
  ],
)
def test_features_that_are_pooled_have_no_centre(
  features, seconds, more, is_pooled
):
  example = {
    'spectrogram': np.zeros((100 * seconds, 40)),
    'visual_2d': np.zeros((features, 8)),
    **more,
  }
  assert bad_records.is_pooled(example) == is_pooled
