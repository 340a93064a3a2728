"""Draws backgrounds: plain, gradient, stripes, checks, dots, clouds, room."""

import numpy as np
from PIL import Image

MARGIN = 32  # pixels by which a background is larger than the screen


def draw(
  rng: np.random.Generator, height: int, width: int
) -> tuple[str, Image.Image]:
  """Draws a background.

  Args:
    rng: chooses the kind, colours and sizes.
    height: of the screen, pixels.
    width: likewise.

  Returns:
    Name of the kind; RGB, by `MARGIN` higher and wider than the screen.
  """
  height, width = height + MARGIN, width + MARGIN
  kind = str(rng.choice([*_SHARES]))
  share = _SHARES[kind](rng, *np.mgrid[:height, :width])
  first, second = rng.uniform(40, 256, (2, 3))
  # The second colour is near the first, so that things stand out.
  second = 0.5 * first + 0.5 * second
  mixed = first + share[..., None] * (second - first)
  return kind, Image.fromarray(mixed.astype(np.uint8))


def _plain(rng, y, x):
  return np.zeros(x.shape)


def _gradient(rng, y, x):
  angle = rng.uniform(0, 2 * np.pi)
  along = np.cos(angle) * x + np.sin(angle) * y
  return (along - along.min()) / np.ptp(along)


def _stripes(rng, y, x):
  angle, size = rng.uniform(0, np.pi), rng.uniform(16, 60)
  along = np.cos(angle) * x + np.sin(angle) * y
  return along // size % 2


def _checks(rng, y, x):
  size = rng.uniform(20, 70)
  return (x // size + y // size) % 2


def _dots(rng, y, x):
  size, radius = rng.uniform(24, 60), rng.uniform(0.2, 0.45)
  return np.hypot(x / size % 1 - 0.5, y / size % 1 - 0.5) < radius


def _clouds(rng, y, x):
  coarse = Image.fromarray(rng.uniform(0, 1, (6, 8)).astype(np.float32))
  smooth = coarse.resize(x.shape[::-1], Image.Resampling.BICUBIC)
  return np.clip(np.asarray(smooth), 0, 1)


def _room(rng, y, x):
  floor = y > rng.uniform(0.6, 0.8) * len(y)
  return np.where(floor, 1.0, 0.3 * (x // rng.uniform(30, 80) % 2))


_SHARES = {  # kind -> share of the second colour, [H, W]
  'plain': _plain,
  'gradient': _gradient,
  'stripes': _stripes,
  'checks': _checks,
  'dots': _dots,
  'clouds': _clouds,
  'room': _room,
}
