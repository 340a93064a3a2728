"""Pages of text, tables, pictures and sounds, as Markdown and as HTML.

A page is a list of blocks. Each block renders itself in both formats, so the
two files always have the same content.
"""

import dataclasses
import hashlib
import html
import math
import os
import pathlib
import re
from collections.abc import Sequence

from avl_jax.files import write_atomically
from avl_jax.reports.style import STYLE

DASH = '–'  # in place of a number that does not exist
NUMBER = re.compile(rf'[-+]?[\d.,]+( %)?|{DASH}')


def percent(share: float | None) -> str:
  """A fraction as a percentage: '37.5 %'; '–' for None and NaN."""
  return DASH if share is None else decimal(100 * share, ' %')


def decimal(value: float, unit: str = '') -> str:
  """A number with one decimal: '3.5'; '–' for NaN."""
  return DASH if math.isnan(value) else f'{value:.1f}{unit}'


@dataclasses.dataclass(frozen=True)
class File:
  """A picture or sound file beside the page, named after its content.

  Attributes:
    name: short name with the suffix: 'loss.png'.
    content: bytes of the file.
  """

  name: str
  content: bytes = dataclasses.field(repr=False)

  @property
  def path(self) -> str:
    """Path relative to the page, safe in file systems and URLs."""
    stem, suffix = os.path.splitext(self.name)
    stem = re.sub('[^a-z0-9]+', '-', stem.lower())[:60].strip('-')
    digest = hashlib.sha256(self.content).hexdigest()[:12]
    folder = 'figures' if suffix == '.png' else 'figures/audio'
    return f'{folder}/{stem}-{digest}{suffix}'


@dataclasses.dataclass(frozen=True)
class Heading:
  """A heading; level 1 is the title."""

  level: int
  text: str

  def markdown(self) -> str:  # noqa: D102
    return f'{"#" * self.level} {_escape(self.text)}'

  def html(self) -> str:  # noqa: D102
    return f'<h{self.level}>{html.escape(self.text)}</h{self.level}>'


@dataclasses.dataclass(frozen=True)
class Text:
  """A paragraph."""

  text: str

  def markdown(self) -> str:  # noqa: D102
    return _escape(self.text)

  def html(self) -> str:  # noqa: D102
    return f'<p>{html.escape(self.text)}</p>'


@dataclasses.dataclass(frozen=True)
class Table:
  """A table. Columns of numbers are right-aligned.

  Attributes:
    header: names of the columns.
    rows: cells of each row.
    kind: 'scores' (columns of retrieval_report.HEADER) or 'runs' (those of
      comparison.HEADER): at the width of a phone the columns stand in the order
      of `STYLE`, so that the scores are in sight; '': any other.
  """

  header: Sequence[str]
  rows: Sequence[Sequence[str]]
  kind: str = ''

  def markdown(self) -> str:  # noqa: D102
    rules = ['---:' if number else '---' for number in self._numbers()]
    lines = [self.header, rules]
    lines += [[_escape(cell) for cell in row] for row in self.rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)

  def html(self) -> str:  # noqa: D102
    kinds = [' class="number"' * number for number in self._numbers()]
    lines = []
    for tag, row in [('th', self.header), *(('td', row) for row in self.rows)]:
      cells = zip(kinds, map(_breakable, row), strict=True)
      line = ''.join(f'<{tag}{kind}>{cell}</{tag}>' for kind, cell in cells)
      lines.append(f'<tr>{line}</tr>\n')
    kind = f' class="{self.kind}"' if self.kind else ''
    return f'<div><table{kind}>\n{"".join(lines)}</table></div>'

  def _numbers(self) -> list[bool]:
    """For each column, whether all its cells are numbers."""
    columns = zip(self.header, *self.rows, strict=True)
    return [all(map(NUMBER.fullmatch, column[1:])) for column in columns]


@dataclasses.dataclass(frozen=True)
class Figure:
  """A picture with a caption above and notes below.

  Attributes:
    picture: PNG file.
    alt: text for readers who do not see the picture.
    caption: one line.
    notes: (text, sound to play with it or None).
  """

  picture: File
  alt: str
  caption: str
  notes: Sequence[tuple[str, File | None]] = ()

  def files(self) -> list[File]:
    """Files that the figure refers to."""
    return [self.picture, *(sound for _, sound in self.notes if sound)]

  def markdown(self) -> str:  # noqa: D102
    notes = ' · '.join(
      _escape(text) + (f' ([listen]({sound.path}))' if sound else '')
      for text, sound in self.notes
    )
    image = f'![{_escape(self.alt)}]({self.picture.path})'
    return '\n\n'.join(filter(None, [_escape(self.caption), image, notes]))

  def html(self) -> str:  # noqa: D102
    notes = ''
    for text, sound in self.notes:
      player = '<audio controls preload="none" src="{}"></audio>'
      played = player.format(sound.path) if sound else ''
      notes += f'<li><span>{html.escape(text)}</span>{played}</li>'
    # Width in the PNG header. 144 pixels an inch are shown at 96: sharper.
    width = int.from_bytes(self.picture.content[16:20]) * 96 // 144
    return (
      f'<figure><figcaption>{html.escape(self.caption)}</figcaption>\n'
      f'<img src="{self.picture.path}" width="{width}" loading="lazy"'
      f' alt="{html.escape(self.alt)}">\n'
      f'<ul style="width: {width}px">{notes}</ul></figure>'
    )


Block = Heading | Text | Table | Figure


def write(
  directory: str | os.PathLike[str], name: str, blocks: Sequence[Block]
) -> None:
  """Writes NAME.md, NAME.html and their files below figures/.

  New figures do not overwrite old ones, each page is replaced atomically, and
  figures that are no longer shown are removed last: after an interruption, the
  pages on disk are complete.

  Example:
    table = page.Table(('Run', 'R@10'), [('first', page.percent(0.9))])
    page.write('runs', 'summary', [page.Heading(1, 'Summary'), table])

  Args:
    directory: created if absent. Files in its folder figures/ that these blocks
      do not show are removed if their names end in a digest, as those written
      by this function do.
    name: of the two files, without suffix.
    blocks: content of the page; the first is a Heading, its title.
  """
  directory, title = pathlib.Path(directory), blocks[0]
  if not isinstance(title, Heading):
    raise TypeError(
      f'The first block of a page must be a Heading, not {title}.'
    )
  figures = [block for block in blocks if isinstance(block, Figure)]
  files = {file.path: file for block in figures for file in block.files()}
  for path, file in files.items():
    write_atomically(directory / path, file.content)
  lines = '\n\n'.join(block.markdown() for block in blocks)
  write_atomically(directory / f'{name}.md', f'{lines}\n'.encode())
  body = '\n'.join(block.html() for block in blocks)
  page = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f'<title>{html.escape(title.text)}</title><style>{STYLE}</style>\n'
    f'</head><body>\n{body}\n</body></html>\n'
  )
  write_atomically(directory / f'{name}.html', page.encode())
  for path in sorted((directory / 'figures').rglob('*')):
    ours = re.search(r'-[0-9a-f]{12}\.[\w.]+$', path.name)
    if ours and path.relative_to(directory).as_posix() not in files:
      path.unlink()


def _breakable(text: str) -> str:
  """Escapes text for HTML; a line may end after '_', '.' or '/' in a word."""
  return re.sub(r'(?<=\w)([_./])(?=[a-zA-Z])', r'\1<wbr>', html.escape(text))


def _escape(text: str) -> str:
  """Escapes text for one line of Markdown."""
  text = html.escape(' '.join(text.split()), quote=False)
  return re.sub(r'([\\`*_\[\]|~$])', r'\\\1', text)
