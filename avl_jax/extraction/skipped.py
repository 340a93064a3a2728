"""Counts and lists the items of a data set that could not be used."""

import collections
import json
import os
import pathlib

from avl_jax.errors import UserError


class Skipped(collections.defaultdict[str, list[str]]):
  """Reason -> names of the items skipped for that reason.

  Example:
    skipped = Skipped()
    skipped.add('no audio', 'cooking/abc.mp4')
    skipped.report('videos/own train', 41, '42 videos of the list')
    skipped.write(data_dir)
  """

  def __init__(self):
    """Starts with no reason."""
    super().__init__(list)

  def add(self, reason: str, name: str) -> None:
    """Adds one item."""
    self[reason].append(name)

  def __str__(self) -> str:
    """Number of items of each reason, and the last one as an example."""
    used = {reason: names for reason, names in self.items() if names}
    counts = {reason: len(names) for reason, names in used.items()}
    if not used:
      return str(counts)
    *_, names = used.values()
    return f'{counts}, for example {names[-1]}'

  def report(
    self,
    title: str,
    count: int,
    source: str,
    *,
    expected: int = 0,
    shortfall: str = '',
    remedy: str = '',
  ) -> None:
    """Prints the number of usable items of a split; adds a shortfall.

    Args:
      title: of the data set, config and split, 'clips/youcook2 val'.
      count: usable items.
      source: all items, '3,350 clips in youcook_val_audio.pkl'.
      expected: items that the thesis had; 0: not known.
      shortfall: reason that lists '{count} of {expected}' if there are fewer.
      remedy: what to do if no item is usable, one or more sentences.

    Raises:
      UserError: no item is usable.
    """
    if not count:
      raise UserError(
        f'{title}: None of the {source} can be used. Skipped so far: '
        f'{str(self).rstrip(".")}. {remedy}'.rstrip()
      )
    line = f'{title}: {count:,} of {source}'
    if count < expected:
      line += f', {expected - count:,} fewer than in the thesis'
      self.add(shortfall, f'{count:,} of {expected:,}')
    print(line)

  def write(self, data_dir: str | os.PathLike) -> None:
    """Writes `skipped.json` beside the records."""
    table = {reason: sorted(names) for reason, names in self.items() if names}
    path = pathlib.Path(data_dir) / 'skipped.json'
    text = json.dumps(table, indent=2, ensure_ascii=False) + '\n'
    # The names of files need not be UTF-8.
    path.write_bytes(text.encode('utf-8', 'backslashreplace'))
