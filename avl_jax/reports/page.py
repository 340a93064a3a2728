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

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff;
  max-width: 1260px; margin: 2em auto; padding: 0 1em; color-scheme: light }
div { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25em .7em; border-bottom: 1px solid #ddd; text-align: left }
td:not(:last-child) { white-space: nowrap }
.number { text-align: right }
h2 { margin-top: 2em; border-bottom: 2px solid #ddd }
figure { margin: 1em 0 2.5em }
figcaption { font-weight: 600 }
img { max-width: 100%; height: auto }
ul { display: grid; grid-template-columns: repeat(auto-fit, minmax(9em, 1fr));
  max-width: 100%; margin: 0; padding: 0; list-style: none;
  font-size: .85em; line-height: 1.35; color: #444; text-align: center }
li { padding: 0 .4em .6em }
span { display: block; max-height: 8.1em; overflow: auto;
  overflow-wrap: anywhere }
audio { display: block; width: 100%; height: 2.2em; margin-top: .3em }
@media (max-width: 640px) {
  body { margin: 1em auto; padding: 0 .5em }
  table { font-size: 12px; line-height: 1.25 }
  th, td { padding: .25em }
  td:not(.number) { white-space: normal; overflow-wrap: anywhere }
  .scores tr { display: grid; border-bottom: 1px solid #ddd;
    grid-template-columns: 4.6em 3.6em 4.6em repeat(8, 3.9em) }
  .scores :is(th, td) { border: 0 }
  .scores :is(th, td):is(:nth-child(4), :nth-child(5)) { order: 1 }
}
"""
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
    kind: 'scores': at the width of a phone the columns after the third stand
      in the order of `STYLE`, so that the scores are in sight; '': any other.
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
      cells = zip(kinds, map(html.escape, row), strict=True)
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


def _escape(text: str) -> str:
  """Escapes text for one line of Markdown."""
  text = html.escape(' '.join(text.split()), quote=False)
  return re.sub(r'([\\`*_\[\]|~$])', r'\\\1', text)
