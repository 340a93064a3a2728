"""Video files by name; the datasets' tests cover extraction and its cache."""

import pytest

from avl_jax.errors import UserError
from avl_jax.extraction.video_files import VideoFiles


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


def test_an_empty_file_does_not_hide_a_good_one(tmp_path):
  """Nor does a link that leads nowhere or out of the folder."""
  root = tmp_path / 'films'
  (root / 'b').mkdir(parents=True)
  for name in ('x.avi', 'only.avi'):
    (root / name).touch()
  (tmp_path / 'outside.avi').write_bytes(b'film')
  (root / 'y.avi').symlink_to(root / 'nowhere.avi')
  (root / 'z.avi').symlink_to(tmp_path / 'outside.avi')
  (root / 'loop.avi').symlink_to(root / 'loop.avi')
  for name in ('x.mp4', 'y.mp4', 'b/z.mp4', 'loop.mp4'):
    (root / name).write_bytes(b'film')
  files = VideoFiles(root)
  assert files('x') == root / 'x.mp4'
  assert files('y') == root / 'y.mp4'
  assert files('z') == root / 'b/z.mp4'
  assert files('loop') == root / 'loop.mp4'
  assert files('only') == root / 'only.avi'
