"""Limits on what a video may cost: from the config to the child."""

import pytest

import input_pipeline
from avl_jax.backbones import feature_extractor
from avl_jax.config import ROOT, read_config
from avl_jax.errors import UserError
from avl_jax.extraction.decoding.limits import Limits
from tests.helpers import media, own_folder

NETWORK = own_folder.NETWORKS['visual_2d']


class Extractor(own_folder.Extractor):
  """Takes the place of the networks."""

  def __init__(self, *, resnet152, resnext101):
    super().__init__()
    self.widths = {'visual_2d': own_folder.WIDTH}
    assert (resnet152, resnext101) == (NETWORK, '')


@pytest.fixture
def decoding(monkeypatch):
  """The usual limits, but for the length of a video."""
  monkeypatch.setattr(feature_extractor, 'Extractor', Extractor)
  decoding = read_config(str(ROOT / 'configs/own_videos.py')).prepare.decoding
  assert Limits(**decoding) == Limits()
  decoding.longest_seconds = 1.0
  return decoding


@pytest.mark.parametrize('name', ['own_videos/untrimmed', 'videos/howto100m'])
def test_a_limit_reaches_the_child(name, decoding, tmp_path):
  media.write(tmp_path / 'videos/a.mp4', own_folder.tone(1, 3), seconds=3)
  (tmp_path / 'HowTo100M_1166_videopaths.txt').write_text('path\nNone/cars/a\n')
  message = r'refused.*lasts 3 s\. Expected at most 1 s'
  with pytest.raises(UserError, match=message):
    input_pipeline.prepare(
      datasets=(name,),
      data_dir=str(tmp_path / 'data'),
      media_dir=str(tmp_path),
      resnet152=NETWORK,
      decoding=decoding,
    )
