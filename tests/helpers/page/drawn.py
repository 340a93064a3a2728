"""Media that the tests of the page draw: each second has its own colour.

A tone asks for a colour: `tone('red')` for what shows red.
"""

import math
import pathlib

import av
import numpy as np
from PIL import Image, ImageDraw

from tests.helpers import media

WIDTH, HEIGHT = 320, 180
RATE = 16_000
FRAME_RATE = 10
COLOURS = {
  'red': (200, 30, 40),
  'orange': (240, 140, 30),
  'yellow': (235, 215, 60),
  'green': (40, 150, 70),
  'cyan': (60, 190, 210),
  'blue': (40, 70, 190),
  'violet': (130, 60, 170),
  'pink': (240, 140, 180),
}
# File -> the colours of its seconds; what the browser cannot play is .avi.
FILES = {
  'garden/morning.mp4': 'green green yellow red green cyan green yellow',
  'garden/evening.mp4': 'orange orange violet blue blue blue violet blue',
  'garden/old film.avi': 'violet violet cyan pink pink pink orange violet',
  'sea/boats.webm': 'cyan blue blue cyan orange cyan blue cyan blue blue',
}
PICTURE, SOUND = 'sea/flag.png', 'sea/bell.mp4'  # without pictures
ALL = (*FILES, PICTURE, SOUND)
# Path, language and date, as people write them down.
MANIFEST = """\
path,language,date
garden/morning.mp4,fr,2024-05-01
garden/evening.mp4,en,2024-05-02
garden/old film.avi,,1999-08-15
sea/boats.webm,fr,2025-07-20
sea/bell.mp4,en,2025-07-21
"""


def colours(path: str) -> list[str]:
  """The colours of the seconds of a file."""
  others = {PICTURE: 'yellow', SOUND: 'pink pink orange orange orange'}
  return {**FILES, **others}[path].split()


def hertz(colour: str) -> float:
  """The tone that asks for a colour."""
  return 440 * 2 ** (list(COLOURS).index(colour) / 4)


def tone(colour: str, seconds: float) -> np.ndarray:
  """float32 [samples]."""
  times = np.arange(round(seconds * RATE)) / RATE
  return np.float32(0.4 * np.sin(2 * np.pi * hertz(colour) * times))


def voice(colour: str, seconds: float) -> np.ndarray:
  """float32 [samples]: like speech, loudest at the tone of a colour.

  Buzzes of 110 Hz, three a second, with two formants, a hiss before each and
  silence between: sound with the pauses and the noise of a voice.
  """
  times = np.arange(round(seconds * RATE)) / RATE
  partials = 110 * np.arange(1, 40)
  gains = np.exp(-(((partials - hertz(colour)) / 60) ** 2))
  gains += 0.2 * np.exp(-(((partials - 2300) / 300) ** 2))
  buzz = np.sin(2 * np.pi * partials[:, None] * times).T @ gains
  phase = 3 * times % 1
  hiss = np.random.default_rng(0).standard_normal(len(times))
  sound = 0.3 * buzz * np.clip(5 * phase * (0.7 - phase), 0, None)
  return np.float32(1.6 * sound + 0.06 * hiss * ((phase > 0.7) & (phase < 0.8)))


def noisy_recordings() -> list[np.ndarray]:
  """Voices of any length and loudness in noise, after a click; and none."""
  rng = np.random.default_rng(2)
  recordings = [np.zeros(8000), np.ones(100), np.zeros(0)]
  for seconds in (0.05, 0.2, 0.6):
    for loudness in (0.003, 0.03, 0.5):
      heard = rng.choice([0, 1e-4, 3e-3]) * rng.standard_normal(24_000)
      heard[:200] += 0.2
      start, length = rng.integers(2000, 13_000), int(seconds * RATE)
      heard[start : start + length] += loudness * rng.standard_normal(length)
      recordings.append(heard)
  return [heard.astype(np.float32) for heard in recordings]


def colour_of(waveform: np.ndarray) -> str:
  """The colour that a sound asks for: of its loudest tone, at `RATE`."""
  spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
  loudest = spectrum.argmax() * RATE / len(waveform)
  tones = np.array(list(map(hertz, COLOURS)))
  return list(COLOURS)[np.abs(np.log(tones / max(loudest, 1))).argmin()]


def nearest(pixel) -> str:
  """The colour of a pixel, RGB."""
  distances = [math.dist(pixel[:3], colour) for colour in COLOURS.values()]
  return list(COLOURS)[int(np.argmin(distances))]


def picture(colour: str, second: int) -> Image.Image:
  """A scene: a shape of this colour before hills."""
  rgb = COLOURS[colour]
  pale = tuple(round(245 - 0.25 * (255 - c)) for c in rgb)
  image = Image.new('RGB', (WIDTH, HEIGHT), pale)
  draw = ImageDraw.Draw(image)
  hill = tuple(round(0.8 * c) for c in pale)
  draw.ellipse((-120, 120, 200, 320), fill=hill)
  draw.ellipse((120, 135, 440, 335), fill=tuple(round(0.9 * c) for c in hill))
  x, y, r = WIDTH // 2, HEIGHT // 2, 58
  shapes = (
    lambda: draw.ellipse((x - r, y - r, x + r, y + r), fill=rgb),
    lambda: draw.rectangle((x - r, y - r, x + r, y + r), fill=rgb),
    lambda: draw.polygon(
      [(x, y - 78), (x + 78, y + r), (x - 78, y + r)], fill=rgb
    ),
  )
  shapes[second % len(shapes)]()
  return image


def write_video(path: pathlib.Path, seconds: list[str]) -> None:
  """Writes a video of these colours, a second each, with their tones."""
  path.parent.mkdir(parents=True, exist_ok=True)
  codec, sound, options = {
    '.mp4': ('libx264', 'aac', {'preset': 'ultrafast', 'crf': '18'}),
    '.webm': ('libvpx', 'libopus', {'deadline': 'realtime', 'cpu-used': '8'}),
    '.avi': ('mpeg4', 'mp2', {'qmin': '2', 'qmax': '5'}),
  }[path.suffix]
  rate = 48_000 if sound == 'libopus' else RATE
  with av.open(str(path), 'w') as container:
    video = container.add_stream(codec, rate=FRAME_RATE, options=options)
    video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, 'yuv420p'
    video.gop_size = FRAME_RATE
    audio = container.add_stream(sound, rate=rate, layout='mono')
    for second, colour in enumerate(seconds):
      frame = av.VideoFrame.from_image(picture(colour, second))
      for number in range(FRAME_RATE):
        frame.pts = second * FRAME_RATE + number
        container.mux(video.encode(frame))
    container.mux(video.encode(None))
    waveform = np.concatenate([tone(colour, 1) for colour in seconds])
    waveform = np.repeat(waveform, rate // RATE)
    media.write_sound(container, audio, waveform)


def write_all(folder: pathlib.Path) -> None:
  """Writes the videos, a picture and a sound."""
  for name in FILES:
    write_video(folder / name, colours(name))
  picture(*colours(PICTURE), 1).save(folder / PICTURE)
  waveform = np.concatenate([tone(colour, 1) for colour in colours(SOUND)])
  with av.open(str(folder / SOUND), 'w') as container:
    audio = container.add_stream('aac', rate=RATE, layout='mono')
    media.write_sound(container, audio, waveform)
  (folder / 'manifest.csv').write_text(MANIFEST)
