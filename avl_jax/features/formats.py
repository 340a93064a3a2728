"""The formats and codecs that are read, and why; all others are refused.

A file that came from outside chooses the code that reads it. FFmpeg has some
hundred demuxers and five hundred decoders; the fewer of them a file can reach,
the fewer faults it can use. Names are FFmpeg's (`ffmpeg -formats`, `-codecs`),
libsndfile's and Pillow's.
"""

from collections.abc import Iterable
from typing import Any

from avl_jax.features import RefusedError

VIDEO_FORMATS = {
  'asf': 'WMV of old folders and cameras',
  'avi': 'old films, LSMDC',
  'flv': 'YouTube before 2010',
  'matroska': 'MKV and WebM: YouTube, YouCook2',
  'mov': 'MP4, M4A, MOV, 3GP: most films, phones, MSR-VTT, HowTo100M',
  'mpeg': 'DVDs, old cameras',
  'mpegts': 'broadcasts, camcorders; often under the name of an MP4',
  'nut': "the tests' lossless films with exact times",
  'ogg': 'Theora of Wikimedia Commons; Vorbis and Opus',
}
AUDIO_FORMATS = {
  'aac': 'ADTS of recorders and streams',
  'ac3': 'DVD sound',
  'aiff': 'recordings of Macs',
  'amr': 'voice memos of phones',
  'au': 'recordings of Unix',
  'caf': 'recordings of iPhones',
  'eac3': 'broadcasts',
  'flac': 'lossless recordings',
  'mp3': 'Places, podcasts',
  'w64': 'recordings over 4 GB',
  'wav': 'most speech corpora',
}
VIDEO_CODECS = {
  'av1': 'YouTube',
  'ffv1': "archives; the tests' lossless films",
  'flv1': 'FLV before 2007',
  'h263': '3GP of old phones',
  'h264': 'most films',
  'hevc': 'phones since 2017',
  'mjpeg': 'AVI and MOV of old cameras',
  'mpeg1video': 'video CDs',
  'mpeg2video': 'DVDs, broadcasts',
  'mpeg4': 'DivX and Xvid: LSMDC',
  'msmpeg4v3': 'DivX 3 of old AVIs',
  'png': "screen recordings; the tests' lossless MOVs",
  'rawvideo': 'uncompressed AVIs',
  'theora': 'Wikimedia Commons',
  'vc1': 'WMV since 2006',
  'vp8': 'WebM',
  'vp9': 'YouTube',
  'wmv1': 'WMV since 1999',
  'wmv2': 'WMV since 1999',
  'wmv3': 'WMV since 2003',
}
AUDIO_CODECS = {
  'aac': 'most films',
  'aac_latm': 'broadcasts',
  'ac3': 'DVDs, broadcasts',
  'adpcm_ima_qt': 'old MOV and AIFF',
  'adpcm_ima_wav': 'WAV and AVI of voice recorders and cameras',
  'adpcm_ms': 'old WAV and AVI',
  'alac': 'Apple, lossless',
  'amr_nb': 'phones',
  'amr_wb': 'phones',
  'eac3': 'broadcasts',
  'flac': 'lossless recordings',
  'mp2': 'DVDs, broadcasts',
  'mp3': 'recordings, old films',
  'opus': 'YouTube, voice messages',
  'vorbis': 'WebM, Ogg',
  'wmapro': 'WMV',
  'wmav1': 'WMV',
  'wmav2': 'WMV',
  # Samples as they are; with a byte each (alaw, mulaw), telephones.
  **dict.fromkeys(
    (
      *('pcm_alaw', 'pcm_bluray', 'pcm_dvd', 'pcm_f32be', 'pcm_f32le'),
      *('pcm_f64be', 'pcm_f64le', 'pcm_mulaw', 'pcm_s16be', 'pcm_s16le'),
      *('pcm_s24be', 'pcm_s24le', 'pcm_s32be', 'pcm_s32le', 'pcm_s64be'),
      *('pcm_s64le', 'pcm_s8', 'pcm_u16be', 'pcm_u16le', 'pcm_u24be'),
      *('pcm_u24le', 'pcm_u32be', 'pcm_u32le', 'pcm_u8'),
    ),
    'uncompressed recordings',
  ),
}
# What libsndfile reads; it has decoders of its own.
SOUNDFILE_FORMATS = {
  'AIFF': 'recordings of Macs',
  'AU': 'recordings of Unix',
  'CAF': 'recordings of iPhones',
  'FLAC': 'lossless recordings',
  'MP3': 'Places, podcasts',
  'MPEG': 'MP3 in older versions of libsndfile',
  'NIST': 'SPHERE of old speech corpora',
  'OGG': 'Vorbis and Opus',
  'RF64': 'recordings over 4 GB',
  'W64': 'recordings over 4 GB',
  'WAV': 'most speech corpora',
  'WAVEX': 'WAV of more channels',
}
# What Pillow reads; some of its other readers start programs (EPS).
IMAGE_FORMATS = {
  'BMP': 'Windows',
  'GIF': 'web pages',
  'JPEG': 'photographs: Places, COCO, Flickr8k',
  'PNG': 'drawings: stamps',
  'TIFF': 'scans',
  'WEBP': 'web pages',
}
REMEDY = (
  'If you trust the file, convert it, for example with '
  '`ffmpeg -i FILE -c:v libx264 -c:a aac NEW.mp4`.'
)
# FFmpeg's decoder of a codec, where its name is not that of the codec.
_DECODERS = {
  'amr_nb': 'amrnb',
  'amr_wb': 'amrwb',
  'av1': 'libdav1d',
  'flv1': 'flv',
  'mp3': 'mp3float',
  'msmpeg4v3': 'msmpeg4',
}


def decoder(codec: str) -> str:
  """FFmpeg's name of the decoder of a codec in these tables."""
  return _DECODERS.get(codec, codec)


def is_allowed(stream: Any, codecs: Iterable[str]) -> bool:
  """Whether a stream's decoder is that of one of these codecs."""
  context = stream.codec_context
  return context is not None and context.name in map(decoder, codecs)


def refusal(
  name: str, content: str, stream: Any, codecs: Iterable[str]
) -> RefusedError:
  """The error for a stream that `is_allowed` does not accept.

  Args:
    name: of the file.
    content: 'sound' or 'picture'.
    stream: of the file.
    codecs: that would be accepted.

  Returns:
    The error; it names the codec, and says what to do.
  """
  context = stream.codec_context
  codec = context.codec.canonical_name if context else 'unknown'
  expected = ', '.join(dict.fromkeys(c.partition('_')[0] for c in codecs))
  return RefusedError(
    f'{name}: The codec of the {content} is {codec}. Expected one of '
    f'{expected}. {REMEDY}'
  )
