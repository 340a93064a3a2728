"""Messages between the process that decodes media and its parent.

A message is the length of its header (4 bytes, big-endian), the header (a JSON
object) and, for sound and pictures, the values of one array. Nothing is ever
unpickled. The parent believes nothing that it has not checked, because a file
may have taken over the child.

The parent asks, one thing at a time:

  {'op': 'open', 'name', 'size', 'processor'}, with a descriptor
  {'op': 'waveform', 'start', 'end', 'processor'}
  {'op': 'frames', 'fps', 'size', 'crop', 'start', 'end', 'processor'}
  {'op': 'picture', 'longest', 'processor'}
  {'op': 'clip', 'start', 'end', 'size', 'most_bytes', 'processor'}
  {'op': 'streams', 'processor'}
  {'op': 'close'}

and the child answers

  {'kind': 'ready', 'lacking'}          once, see `sandbox.lock`
  {'kind': 'opened', 'duration'}        seconds; 0: unknown
  {'kind': 'waveform', 'shape'}         and float32 [samples]
  {'kind': 'frames', 'shape'}           and uint8 [n, H, W, 3], again and again
  {'kind': 'end'}                       after the last frames
  {'kind': 'picture', 'shape'}          and uint8 [H, W, 3]
  {'kind': 'clip', 'shape'}             and uint8 [bytes]
  {'kind': 'streams', ...}              see `transcoding.streams`
  {'kind': 'error', 'error', 'message'}   class of error; in place of an answer
  {'kind': 'line', 'text'}              for the user, at any time
  {'kind': 'working'}                   the file has been read further
"""

import json
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

CHUNK = 2**20  # bytes of pictures that are sent at a time
HEADER = struct.Struct('>I')
LONGEST_HEADER = 2**16  # bytes


def send(
  channel: socket.socket,
  header: Mapping[str, Any],
  arrays: Sequence[np.ndarray] = (),
  descriptors: Sequence[int] = (),
) -> None:
  """Sends a message; arrays follow the header, one behind the other.

  Raises:
    OSError: the other process has ended, or takes too long to read.
  """
  text = json.dumps(header).encode()
  start = HEADER.pack(len(text)) + text
  if descriptors:
    sent = socket.send_fds(channel, [start], list(descriptors))
    start = start[sent:]
  channel.sendall(start)
  for array in arrays:
    values = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    channel.sendall(values.data)


def parse(text: bytes | bytearray) -> dict[str, Any]:
  """Reads a header; ValueError if it is no JSON object."""
  try:
    header = json.loads(bytes(text))
  except RecursionError as error:
    raise ValueError('too deep') from error
  if not isinstance(header, dict):
    raise ValueError('no object')
  return header


def receive_request(
  channel: socket.socket,
) -> tuple[dict[str, Any], list[int]] | None:
  """Waits for a message of the parent; its header and its descriptors.

  Returns:
    None if the parent has gone.
  """
  start, descriptors, _, _ = socket.recv_fds(channel, HEADER.size, 1)
  if not start:
    return None
  start += channel.recv(HEADER.size - len(start), socket.MSG_WAITALL)
  (length,) = HEADER.unpack(start)
  return parse(channel.recv(length, socket.MSG_WAITALL)), list(descriptors)
