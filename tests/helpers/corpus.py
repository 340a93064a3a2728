"""Small files of every container and codec that the project reads."""

import pathlib

import av
import numpy as np
import soundfile
from PIL import Image

SECONDS = 1
# Codecs of avl_jax/features/formats.py that PyAV cannot write: not in here.
LEFT_OUT = {'aac_latm', 'theora', 'vc1', 'wmapro', 'wmv3'}
# (format, encoder of the picture, of the sound), '': none.
MEDIA = [
  *(('mp4', 'libx264', 'aac'), ('mp4', 'libx265', 'ac3')),
  *(('mp4', 'libsvtav1', 'libopus'), ('mp4', 'mpeg4', 'libmp3lame')),
  *(('mov', 'png', 'pcm_s16be'), ('mov', 'mjpeg', 'alac')),
  *(('mov', 'libx264', 'adpcm_ima_qt'), ('3gp', 'h263', 'aac')),
  *(('avi', 'msmpeg4', 'adpcm_ms'), ('avi', 'rawvideo', 'pcm_s16le')),
  *(('avi', 'mjpeg', 'mp2'), ('avi', 'mpeg4', 'adpcm_ima_wav')),
  *(('avi', 'libx264', 'aac'), ('matroska', 'ffv1', 'flac')),
  *(('matroska', 'libx264', 'eac3'), ('matroska', 'mpeg2video', 'mp2')),
  *(('webm', 'libvpx', 'vorbis'), ('webm', 'libvpx-vp9', 'libopus')),
  *(('flv', 'flv', 'libmp3lame'), ('flv', 'libx264', 'aac')),
  *(('asf', 'wmv1', 'wmav1'), ('asf', 'wmv2', 'wmav2')),
  *(('mpeg', 'mpeg1video', 'mp2'), ('vob', 'mpeg2video', 'ac3')),
  *(('vob', 'mpeg2video', 'pcm_dvd'), ('mpegts', 'libx264', 'aac')),
  *(('mpegts', 'mpeg2video', 'mp2'), ('mpegts', 'libx265', 'ac3')),
  *(('m2ts', 'libx264', 'pcm_bluray'), ('mp3', '', 'libmp3lame')),
  *(('nut', 'ffv1', 'pcm_s16le'), ('ogg', 'libvpx', 'libopus')),
  *(('adts', '', 'aac'), ('ac3', '', 'ac3'), ('eac3', '', 'eac3')),
  *(('aiff', '', 'pcm_s16be'), ('au', '', 'pcm_mulaw')),
  *(('caf', '', 'alac'), ('flac', '', 'flac')),
  *(('ogg', '', 'vorbis'), ('ogg', '', 'flac')),
  *(('opus', '', 'libopus'), ('w64', '', 'pcm_s16le'), ('ipod', '', 'aac')),
  *(('wav', '', 'pcm_s16le'), ('wav', '', 'adpcm_ms')),
  *(('wav', '', 'adpcm_ima_wav'), ('wav', '', 'libmp3lame')),
]
PCM = (
  *('alaw', 'f32be', 'f32le', 'f64be', 'f64le', 'mulaw', 's16be', 's24be'),
  *('s24le', 's32be', 's32le', 's64be', 's64le', 's8', 'u16be', 'u16le'),
  *('u24be', 'u24le', 'u32be', 'u32le', 'u8'),
)
MEDIA += [('nut', '', f'pcm_{kind}') for kind in PCM]
# Any bits are a packet of AMR.
AMR = {
  'nb.amr': (b'#!AMR\n', 12, 0x04),
  'wb.amr': (b'#!AMR-WB\n', 17, 0x04),
}
IMAGES = {
  'bmp': [{}],
  'gif': [{}],
  'jpeg': [{}, {'progressive': True}],
  'png': [{}],
  'tiff': [
    {'compression': kind}
    for kind in ('raw', 'tiff_lzw', 'tiff_adobe_deflate', 'jpeg', 'packbits')
  ],
  'webp': [{}, {'lossless': True}],
}
_RATES = {'libopus': 48_000, 'pcm_bluray': 48_000, 'pcm_dvd': 48_000}
_RATES |= {'ac3': 32_000, 'eac3': 32_000, 'wmav1': 22_050, 'wmav2': 22_050}
_STEREO = ('vorbis', 'pcm_bluray', 'pcm_dvd')
_OPTIONS = {
  'libsvtav1': {'preset': '13', 'svtav1-params': 'lp=1'},
  'libvpx': {'deadline': 'realtime', 'cpu-used': '8'},
  'libvpx-vp9': {'deadline': 'realtime', 'cpu-used': '8'},
  'libx264': {'preset': 'ultrafast', 'g': '8'},
  'libx265': {'preset': 'ultrafast', 'x265-params': 'log-level=none:pools=1'},
  'vorbis': {'strict': 'experimental'},
  'aac': {'aac_coder': 'fast'},
}


def write(folder: pathlib.Path) -> list[pathlib.Path]:
  """Writes the files; returns their paths in a fixed order."""
  paths = []
  for kind, picture, sound in MEDIA:
    name = f'{picture}_{sound}.{kind}'.replace('lib', '')
    paths.append(folder / name)
    write_media(paths[-1], kind, picture, sound)
  for kind, ways in IMAGES.items():
    for number, options in enumerate(ways):
      path = folder / f'picture{number}.{kind}'
      values = _pictures(48, 64)[0]
      Image.fromarray(values).save(path, kind, **options)
      paths.append(path)
  rng = np.random.default_rng(0)
  for name, (start, size, head) in AMR.items():
    packets = rng.integers(0, 256, (50, 1 + size), np.uint8)
    packets[:, 0] = head
    paths.append(folder / name)
    paths[-1].write_bytes(start + packets.tobytes())
  for kind, subtype in (('wav', 'GSM610'), ('ogg', 'VORBIS'), ('mp3', None)):
    paths.append(folder / f'soundfile.{kind}')
    soundfile.write(paths[-1], _sound(16_000, 1)[:, 0], 16_000, subtype)
  return paths


def write_media(path: pathlib.Path, kind: str, picture: str, sound: str):
  """Writes a file of `SECONDS` with the encoders `picture` and `sound`."""
  muxer = {'m2ts': 'mpegts'}.get(kind, kind)
  with av.open(str(path), 'w', format=muxer) as container:
    seen = _add_picture(container, picture) if picture else None
    heard = _add_sound(container, sound) if sound else None
    if seen is not None:
      size = seen.height, seen.width
      for values in _pictures(*size):
        frame = av.VideoFrame.from_ndarray(values, 'rgb24')
        container.mux(seen.encode(frame.reformat(format=seen.pix_fmt)))
      container.mux(seen.encode(None))
    if heard is not None:
      values = _sound(heard.rate, heard.layout.nb_channels)
      size = heard.frame_size or 1024
      # At most 16,000 samples of all channels, so that files stay small.
      last = min(len(values), 16_000 // heard.layout.nb_channels)
      for first in range(0, last - size + 1, size):
        block = values[first : first + size].reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block, 'flt', heard.layout.name)
        frame.sample_rate, frame.pts = heard.rate, first
        container.mux(heard.encode(frame))
      container.mux(heard.encode(None))


def damage(content: bytes, seed: int) -> bytes:
  """Flips bits, or cuts, splices or overwrites a file.

  Args:
    content: of the file.
    seed: of all choices; seed % 8 is the way.

  Returns:
    The damaged content.
  """
  rng = np.random.default_rng([seed, len(content)])
  way, data = seed % 8, bytearray(content)
  # Headers are at the beginning or the end, and decide the most.
  ends = min(len(data), 600)
  bits = {
    0: rng.integers(0, len(data), 1),
    1: rng.integers(0, len(data), 1 + len(data) // 200),
    2: rng.integers(0, ends, rng.integers(1, 9)),
    3: len(data) - 1 - rng.integers(0, ends, rng.integers(1, 9)),
  }
  first, last = sorted(rng.integers(0, len(data) + 1, 2).tolist())
  last = min(last, first + len(data) // 5)
  if way in bits:
    for place in bits[way].tolist():
      data[place] ^= 1 << int(rng.integers(8))
  elif way == 4:
    del data[max(1, last) :]
  elif way == 5:
    del data[first:last]
  elif way == 6:
    place = int(rng.integers(len(data) + 1))
    data[place:place] = data[first:last]
  else:  # sizes and counts that are extreme
    for place in rng.integers(0, ends, rng.integers(1, 4)).tolist():
      value = (b'\xff', b'\x00', b'\x7f', b'\x80')[int(rng.integers(4))]
      size = int(rng.choice([1, 2, 4, 8]))
      data[place : place + size] = size * value
  return bytes(data)


def _add_picture(container, encoder):
  stream = container.add_stream(
    encoder,
    rate=25 if 'mpeg' in encoder else 8,
    options=_OPTIONS.get(encoder, {}),
  )
  sizes = {'h263': (128, 96), 'libsvtav1': (64, 64), 'libx265': (64, 64)}
  sizes['rawvideo'] = (32, 24)
  stream.width, stream.height = sizes.get(encoder, (48, 32))
  kinds = {'png': 'rgb24', 'mjpeg': 'yuvj420p', 'rawvideo': 'bgr24'}
  stream.pix_fmt = kinds.get(encoder, 'yuv420p')
  return stream


def _add_sound(container, encoder):
  layout = 'stereo' if encoder in _STEREO else 'mono'
  usual = {'flv': 22_050, 'nut': 4000}.get(container.format.name, 16_000)
  stream = container.add_stream(
    encoder,
    rate=_RATES.get(encoder, usual),
    layout=layout,
    options=_OPTIONS.get(encoder, {}),
  )
  if encoder.startswith('wmav'):
    stream.bit_rate = 32_000
  return stream


def _pictures(height: int, width: int) -> list[np.ndarray]:
  """Noise that moves: uint8 [H, W, 3] each."""
  rng = np.random.default_rng(0)
  small = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
  picture = small.repeat(8, 0).repeat(8, 1)
  return [np.roll(picture, 3 * k, 1) for k in range(8)]


def _sound(rate: int, channels: int) -> np.ndarray:
  """A tone with noise: float32 [samples, channels]."""
  t = np.arange(rate * SECONDS) / rate
  noise = np.random.default_rng(0).normal(0, 0.01, len(t))
  tone = 0.3 * np.sin(2 * np.pi * 440 * t) + noise
  return np.stack(channels * [tone], 1).astype(np.float32)
