"""A browser, and a server of drawn media, for all tests of the page."""

import pytest
import soundfile

from tests.helpers.page import browsing, drawn


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Of the media and the index."""
  return tmp_path_factory.mktemp('page')


@pytest.fixture(scope='module')
def visits(folder):
  """visits(): a visitor's page; the microphone hears who asks for red.

  The model is replaced in the tests of a file, not in those of others.
  """
  sound = folder / 'voice.wav'
  soundfile.write(sound, drawn.voice('red', 3), drawn.RATE)
  with (
    browsing.launched(sound) as browser,
    browsing.served(folder) as address,
  ):
    yield browsing.Visits(browser, address)
