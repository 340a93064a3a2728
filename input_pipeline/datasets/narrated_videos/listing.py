"""Writes the tables that own videos are prepared from, after the truth."""

import csv
import io
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from avl_jax.files import write_atomically
from input_pipeline.datasets.narrated_videos import casting
from input_pipeline.datasets.narrated_videos.truth import Truth
from input_pipeline.datasets.own_videos import manifest
from input_pipeline.datasets.stamps import tuxpaint

MANIFESTS = {  # set of videos -> its manifest
  casting.UNTRIMMED: 'manifest.csv',
  casting.CLIPS: 'clips.csv',
  casting.HUMAN: 'human.csv',
}
NAMES = tuple(  # of the records
  f'{part}_{language}' for part in MANIFESTS for language in tuxpaint.LANGUAGES
)
_VIDEO = ('id', 'path', 'language', 'split')
_CLIP = ('id', 'path', 'start', 'end', 'caption', 'language', 'split')


def clips(video: Truth) -> Iterator[tuple[float, float, str]]:
  """Yields (start, end, caption) of each scene of which something is named.

  As annotators mark a step: from the first to the last of picture and word.
  """
  for index, scene in enumerate(video['scenes']):
    said = [naming for naming in video['namings'] if naming['scene'] == index]
    if said:
      start = min(scene['start'], said[0]['start'])
      end = max(scene['end'], said[-1]['end'])
      names = dict.fromkeys(n['caption'].removesuffix('.') for n in said)
      yield start, end, ', '.join(names)


def write(folder: pathlib.Path, videos: Sequence[Truth]) -> None:
  """Writes the manifests of videos, and the captions of the untrimmed ones.

  Raises:
    UserError: a file cannot be written.
  """
  rows: dict[str, list[dict[str, Any]]] = {part: [] for part in MANIFESTS}
  for video in videos:
    same = {key: video[key] for key in ('language', 'split')}
    same['path'] = f'{video["id"]}.mp4'
    if video['part'] == casting.UNTRIMMED:
      rows[casting.UNTRIMMED].append({'id': video['id'], **same})
      continue
    for number, (start, end, caption) in enumerate(clips(video)):
      rows[video['part']].append(
        {
          'id': f'{video["id"]}/{number:03d}',
          'start': f'{start:.3f}',
          'end': f'{end:.3f}',
          'caption': caption,
          **same,
        }
      )
  for part, name in MANIFESTS.items():
    columns = _VIDEO if part == casting.UNTRIMMED else _CLIP
    _write(folder / name, columns, rows[part])
  said = [
    {'id': video['id'], **{key: naming[key] for key in ('start', 'end')}}
    | {'caption': naming['caption']}
    for video in videos
    if video['part'] == casting.UNTRIMMED
    for naming in video['namings']
  ]
  _write(folder / manifest.CAPTIONS, ('id', 'start', 'end', 'caption'), said)


def _write(
  path: pathlib.Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> None:
  text = io.StringIO()
  writer = csv.DictWriter(text, columns, lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  write_atomically(path, text.getvalue())
