"""What could not be used of a data set: counted, shown, listed in a file."""

import collections
import json
import os
import pathlib


class LeftOut(collections.defaultdict[str, list[str]]):
  """Reason -> what was left out for it."""

  def __init__(self):
    """Begins with nothing."""
    super().__init__(list)

  def add(self, reason: str, what: str) -> None:
    """Notes one thing."""
    self[reason].append(what)

  def __str__(self) -> str:
    """How many for each reason, and the last of them as an example."""
    there = {reason: names for reason, names in self.items() if names}
    counts = {reason: len(names) for reason, names in there.items()}
    if not there:
      return str(counts)
    *_, names = there.values()
    return f'{counts}, for example {names[-1]}'

  def write(self, data_dir: str | os.PathLike) -> None:
    """Writes `skipped.json` beside the records."""
    table = {reason: sorted(names) for reason, names in self.items() if names}
    path = pathlib.Path(data_dir) / 'skipped.json'
    path.write_text(json.dumps(table, indent=2, ensure_ascii=False) + '\n')
