"""Answers in the format that a client requests: JSON, CSV or a playlist."""

import csv
import io
from typing import Any

from starlette.responses import JSONResponse, Response

# Also those of the page's own exports, `static/js/exports.js`.
_COLUMNS = (
  *('rank', 'file', 'name', 'folder', 'kind', 'start', 'end', 'best', 'score'),
  *('share', 'share_here', 'fits', 'language', 'date', 'duration', 'missing'),
  'link',
)
_FORMULA = tuple('=+-@\t\r')  # A spreadsheet would compute a text like that.


def response(found: dict[str, Any], format: str, address: str) -> Response:
  """The answer to a search.

  Args:
    found: as the API has it.
    format: 'json', 'csv' or 'm3u'.
    address: of the page, with a slash at its end.
  """
  if format == 'csv':
    return _file(_csv(found, address), 'text/csv', 'answers.csv')
  if format == 'm3u':
    return _file(_m3u(found, address), 'audio/x-mpegurl', 'answers.m3u')
  return JSONResponse(found)


def _file(text: str, media_type: str, name: str) -> Response:
  return Response(
    text,
    media_type=media_type,
    headers={'content-disposition': f'attachment; filename="{name}"'},
  )


def _csv(found: dict[str, Any], address: str) -> str:
  text = io.StringIO()
  table = csv.writer(text)
  table.writerow(_COLUMNS)
  for rank, answer in enumerate(found['answers'], 1):
    query = f'?file={answer["file"]}&t={answer["best"]:.1f}'
    row = {**answer, 'rank': rank, 'link': f'{address}{query}'}
    table.writerow([_cell(row[column]) for column in _COLUMNS])
  return text.getvalue()


def _cell(value: Any) -> Any:
  if isinstance(value, str) and value.startswith(_FORMULA):
    return f"'{value}"
  if isinstance(value, bool):
    return str(value).lower()
  return '' if value is None else value


def _m3u(found: dict[str, Any], address: str) -> str:
  """A playlist whose entries begin and end with the moments (VLC)."""
  lines = ['#EXTM3U']
  for answer in found['answers']:
    seconds = max(1, round(answer['end'] - answer['start']))
    name = ''.join(c if c.isprintable() else ' ' for c in answer['name'])
    lines.append(f'#EXTINF:{seconds},{name}')
    if answer['end'] > answer['start']:
      lines.append(f'#EXTVLCOPT:start-time={answer["start"]:g}')
      lines.append(f'#EXTVLCOPT:stop-time={answer["end"]:g}')
    lines.append(f'{address}api/v1/files/{answer["file"]}')
  return '\n'.join(lines) + '\n'
