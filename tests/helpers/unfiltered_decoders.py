"""Fake decoders where the system cannot filter system calls, as on macOS."""

from unittest import mock

from avl_jax.extraction.decoding import child as decoding_child
from avl_jax.extraction.decoding import sandbox
from tests.helpers import fake_decoders

if __name__ == '__main__':
  with mock.patch.object(sandbox, '_filter_calls', return_value=False):
    decoding_child.main(fake_decoders.waveform, fake_decoders.frames)
