"""Languages and dates of files, as `manifest.csv` in the media folder has them.

Columns `path`, `language` and `date`, as for own videos.
"""

import csv
import os
import pathlib

from avl_jax import logs
from avl_jax.page.items import is_date


def read(path: pathlib.Path) -> dict[str, tuple[str, str]]:
  """Path of each file -> language and date, of a manifest.

  Raises:
    OSError: it cannot be read.
    ValueError: it is not in UTF-8, or has no paths.
    csv.Error: it is no table.
  """
  table, wrong = {}, []
  with path.open(encoding='utf-8-sig', newline='') as lines:
    rows = csv.DictReader(lines)
    if 'path' not in (rows.fieldnames or ()):
      raise ValueError('It has no column path.')
    for row in rows:
      if name := row['path']:
        date = (row.get('date') or '').strip()
        if date and not is_date(date):
          wrong.append(date)
          date = ''
        language = (row.get('language') or '').strip()
        table[name.replace(os.sep, '/')] = language, date
  if wrong:
    logs.write(
      f'{path}: {len(wrong)} dates are not used, such as {wrong[0]!r}. '
      'Expected YYYY, YYYY-MM or YYYY-MM-DD.'
    )
  return table
