"""Formats and codecs that are read, and what becomes of all others."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from avl_jax.features import RefusedError, Status, audio, formats, video
from tests.helpers import media

STYLES = (  # that any subtitles need
  b'[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\n'
  b'Format: Name, Fontname, Fontsize\nStyle: Default,Arial,16\n[Events]\n'
  b'Format: Layer, Start, End, Style, Text\n'
)
SOUND = (np.sin(np.arange(16_000 * 4) / 5) / 4).astype(np.float32)


def write(path, *streams, text: bool = False):
  """Writes four seconds with encoders of pictures and of sound.

  Args:
    path: of the file.
    *streams: encoders; pictures become lighter every second.
    text: whether there are subtitles and a cover, too.
  """
  with av.open(str(path), 'w') as container:
    added = []
    for encoder in streams:
      if av.Codec(encoder, 'w').type == 'video':
        stream = container.add_stream(encoder, rate=4)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = stream.codec.video_formats[0].name
      else:
        stream = container.add_stream(encoder, rate=16_000, layout='mono')
      added.append(stream)
    if text:
      words = container.add_stream('srt')
      words.codec_context.subtitle_header = STYLES
      cover = io.BytesIO()
      Image.new('RGB', (8, 8)).save(cover, 'GIF')
      container.add_attachment('cover.gif', 'image/gif', cover.getvalue())
    for stream in added:
      if stream.type == 'audio':
        media.write_sound(container, stream, SOUND)
        continue
      for k in range(16):
        picture = np.full((48, 64, 3), 40 * (k // 4), np.uint8)
        frame = av.VideoFrame.from_ndarray(picture)
        frame = frame.reformat(format=stream.pix_fmt)
        frame.pts, frame.time_base = k, Fraction(1, 4)
        container.mux(stream.encode(frame))
      container.mux(stream.encode(None))
    if text:
      packet = av.Packet(b'Salt.')
      packet.stream, packet.time_base = words, Fraction(1, 1000)
      packet.pts = packet.dts = 500
      packet.duration = 1000
      container.mux(packet)


def seen(path, *piece) -> list[int]:
  frames = video.frames(path, 1, 16, False, *piece)
  return [round(float(frame.mean()) / 40) for frame in frames]


def test_the_table_names_the_decoders():
  for codec in (*formats.VIDEO_CODECS, *formats.AUDIO_CODECS):
    assert av.Codec(formats.decoder(codec), 'r').canonical_name == codec
  for table in (formats.VIDEO_FORMATS, formats.AUDIO_FORMATS):
    for name, why in table.items():
      assert av.ContainerFormat(name, 'r').is_input
      assert why
  assert set(formats.SOUNDFILE_FORMATS) - {'MPEG'} <= set(
    soundfile.available_formats()
  )


def test_a_picture_of_another_codec_is_refused(tmp_path):
  path = tmp_path / 'film.mov'
  write(path, 'qtrle', 'aac')
  with pytest.raises(RefusedError) as error:
    seen(path)
  assert error.value.reason == Status.REFUSED
  assert str(error.value).startswith(
    f'{path}: The codec of the picture is qtrle. Expected one of av1, ffv1, '
  )
  assert '`ffmpeg -i FILE -c:v libx264 -c:a aac NEW.mp4`' in str(error.value)
  # Its sound is another matter.
  for piece in ({}, {'start': 2.0, 'end': 3.0}):
    found = audio.read_audio(path, **piece)
    assert abs(len(found) - (16_000 if piece else 64_000)) < 2_000
    assert found.std() > 0.1


def test_a_sound_of_another_codec_is_refused(tmp_path):
  path = tmp_path / 'film.mkv'
  write(path, 'mpeg4', 'wavpack')
  for source in (path, path.read_bytes()):
    with pytest.raises(RefusedError, match=r'sound is wavpack\. .* aac, .*pcm'):
      audio.read_audio(source)
  with pytest.raises(RefusedError, match=f'{path}.*wavpack'):
    audio.read_audio(path, start=2)
  assert seen(path) == [0, 1, 2, 3]
  assert seen(path, 2, 4) == [2, 3]


@pytest.mark.parametrize(
  'streams',
  [
    ('mpeg4', 'prores', 'wavpack', 'aac'),
    ('wavpack', 'mpeg4', 'aac', 'prores'),
  ],
)
def test_what_else_is_in_a_file_does_not_matter(tmp_path, streams):
  path = tmp_path / 'film.mkv'
  write(path, *streams, text=True)
  with av.open(str(path)) as container:
    kinds = [stream.type for stream in container.streams]
    assert sorted(kinds) == [*2 * ['audio'], 'subtitle', *3 * ['video']]
  assert seen(path) == [0, 1, 2, 3]
  assert seen(path, 2, 4) == [2, 3]
  found = audio.read_audio(path)
  assert found.std() > 0.1
  np.testing.assert_array_equal(audio.read_audio(path, end=1), found[:16_000])


def test_no_other_decoder_is_ever_opened(tmp_path):
  """FFmpeg opens decoders to learn about streams, before it is told which."""
  path = tmp_path / 'film.mkv'
  write(path, 'mpeg4', 'prores', 'wavpack', 'aac')
  before = av.logging.get_level()
  av.logging.set_level(av.logging.ERROR)
  try:
    with av.logging.Capture() as lines:
      audio.read_audio(path)
  finally:
    av.logging.set_level(before)
  kept_out = {line[2].split(' not on')[0] for line in lines}
  assert kept_out == {'Codec (prores)', 'Codec (wavpack)'}


def test_other_formats_are_refused(tmp_path):
  path = tmp_path / 'sound.voc'  # libsndfile and FFmpeg would read it.
  soundfile.write(path, SOUND, 16_000, 'PCM_16', format='VOC')
  for source in (path, path.read_bytes()):
    with pytest.raises(RefusedError, match='format of the file is not read'):
      audio.read_audio(source)
  picture = tmp_path / 'film.gif'
  write(picture, 'gif')
  with pytest.raises(RefusedError, match=r'film.gif: The format.*matroska'):
    seen(picture)


def test_what_cannot_be_sought_is_read_from_the_beginning(tmp_path):
  path = tmp_path / 'answer.wav'
  t = np.arange(8000 * 6) / 8000
  soundfile.write(path, 0.5 * np.sin(900 * t * t), 8000, 'GSM610')
  whole = audio.read_audio(path)
  assert len(whole) == 96_000
  piece = audio.read_audio(path, start=2, end=3)
  np.testing.assert_allclose(piece[200:-200], whole[32_200:47_800], atol=1e-3)
