"""Fake decoders where the system cannot filter system calls, as on macOS."""

from unittest import mock

from avl_jax.extraction import decoding_child, decoding_sandbox
from tests.helpers import fake_decoders

if __name__ == '__main__':
  with mock.patch.object(decoding_sandbox, '_filter_calls', return_value=False):
    decoding_child.main(fake_decoders.waveform, fake_decoders.frames)
