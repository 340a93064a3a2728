"""Video files by name; the datasets' tests cover extraction and its cache."""

import pytest

from avl_jax.errors import UserError
from avl_jax.extraction.video_features import VideoFiles


def test_files_of_videos(tmp_path):
  for name in ('a/x.webm', 'b/x.mp4', 'b/y.MKV', 'b/z.txt', 'c/z.mp4.part'):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
  files = VideoFiles(tmp_path)
  assert files('x') == tmp_path / 'a/x.webm'
  assert files('y') == tmp_path / 'b/y.MKV'
  assert 'z' not in files
  for name in ('', '..', '../a/x', '/etc/passwd', 'b/y', 'a\\x', 'x\0'):
    with pytest.raises(UserError, match='is not a file name'):
      files(name)
