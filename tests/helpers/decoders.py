"""Decodes in the process of the test, where its functions can be replaced."""

import functools

from avl_jax.features import audio, images, video


class InProcess:
  """Takes the place of `avl_jax.extraction.decoding.Decoder`."""

  def run(self, path, use):
    """Returns use(media) for the file at `path`."""
    return use(_Media(path))


class _Media:
  def __init__(self, path):
    self._path = path
    self.frames = functools.partial(video.frames, path)

  def picture(self):
    return images.read_image(self._path)

  def waveform(self, start, end):
    return audio.read_audio(self._path, start=start, end=end)
