"""Divides videos into training, validation and test, by their content.

The SHA-256 of a file's content is read as a number from 0 to 1. Below 0.1 the
video is in `test`, below 0.2 in `val`, above in `train`. In a small collection
the video with the least number is in `test` all the same, and the next one in
`val`, so that neither is empty.

A video keeps its split under any name and in any folder. Added videos may move
a held-out video to `val` or `train`, but never one from `train` to `val` or
`test`: a model may start from what it has learnt.
"""

from collections.abc import Mapping, Sequence

NAMES = ('train', 'val', 'test')
HELD_OUT = (('test', 0.1), ('val', 0.2))  # upper ends of the numbers


def divide(
  named: Mapping[str, str], held_out: Sequence[tuple[str, float]] = HELD_OUT
) -> dict[str, str]:
  """Returns the split of each video.

  Args:
    named: digest (hexadecimal SHA-256) -> split that the manifest names, or ''.
    held_out: the splits beside 'train', with the upper ends of their numbers.

  Returns:
    digest -> split.
  """
  chosen = {digest: split for digest, split in named.items() if split}
  waiting = sorted(digest for digest, split in named.items() if not split)
  for split, end in held_out:
    while waiting and (
      fraction(waiting[0]) < end or split not in chosen.values()
    ):
      chosen[waiting.pop(0)] = split
  return chosen | dict.fromkeys(waiting, 'train')


def fraction(digest: str) -> float:
  """The number of a digest, from 0 to 1."""
  return int(digest[:13], 16) / 16**13
