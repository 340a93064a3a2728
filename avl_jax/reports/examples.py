"""Retrieval sheets: example queries with their best answers."""

import dataclasses
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import soundfile

from avl_jax import features
from avl_jax.features.media import Media
from avl_jax.reports import figures, page
from avl_jax.retrieval.evaluation import Retrieval

GROUPS = (  # title, lowest rank, end of ranks
  ('Correct match first', 0, 1),
  ('Correct match in the top 5, not first', 1, 5),
  ('Correct match not in the top 5', 5, np.inf),
)


@dataclasses.dataclass(frozen=True)
class Group:
  """Queries of similar rank.

  Attributes:
    title: as the sheet names it.
    size: number of its queries.
    examples: indices of the queries to show.
  """

  title: str
  size: int
  examples: tuple[int, ...]


def choose_examples(
  ranks: np.ndarray, ids: Sequence[str] | np.ndarray, per_group: int = 4
) -> tuple[Group, ...]:
  """Chooses queries to show: correct match first, in the top 5, not in it.

  A hash of the ids chooses, so the choice does not depend on how good an
  example looks, and later evaluations show the same queries.

  Args:
    ranks: [N] 0-based rank of each query's correct match.
    ids: N names of the queries.
    per_group: maximum number of examples in a group.

  Returns:
    Three groups, the best first; examples are indices into `ids`.

  Raises:
    ValueError: the number of ranks differs from the number of ids.
  """
  if len(ranks) != len(ids):
    raise ValueError(
      f'Got {len(ranks)} ranks of {len(ids)} queries. Examples need one rank'
      " per query, which ties='against' gives."
    )
  groups = []
  for title, first, end in GROUPS:
    members = [i for i, rank in enumerate(ranks) if first <= rank < end]
    examples = sample(members, ids, per_group)
    groups.append(Group(title, len(members), examples))
  return tuple(groups)


def sample(
  members: Iterable[int], ids: Sequence[str] | np.ndarray, count: int
) -> tuple[int, ...]:
  """At most `count` of `members`, which index `ids`, in the order of hashes."""
  order = sorted(
    members, key=lambda i: hashlib.sha256(str(ids[i]).encode()).digest()
  )
  return tuple(int(i) for i in order[:count])


def sheet(retrieval: Retrieval, media: Sequence[Media]) -> Iterator[page.Block]:
  """Examples of one task of an evaluation, in three groups.

  Args:
    retrieval: queries and answers.
    media: of the evaluation, in the order of the retrieval's ids.

  Raises:
    ValueError: the media are not those of the ids.
  """
  count, name = len(retrieval.ids), retrieval.evaluation
  if len(media) != count:
    raise ValueError(
      f'Got media of {len(media)} examples for evaluation {name!r}, which has'
      f' {count} ids. Pass the media of each id, in the same order.'
    )
  yield page.Heading(2, f'{name}: {retrieval.task.label}')
  yield page.Text(
    f'Each query, on the left, is compared with all {count} items of the'
    ' gallery. The five with the highest scores follow, best first. The correct'
    ' match has a green frame and a ✓. Examples are chosen by a hash of their'
    ' names, not by how good they look. The size of each group says how common'
    ' such queries are.'
  )
  groups = choose_examples(retrieval.ranks, retrieval.ids)
  for group in groups:
    share = page.percent(group.size / max(count, 1))
    yield page.Heading(
      3, f'{group.title}: {group.size} of {count} queries ({share})'
    )
    if not group.examples:
      yield page.Text('No query is in this group.')
    for index in group.examples:
      yield example(retrieval, media, index)


def example(
  retrieval: Retrieval,
  media: Sequence[Media],
  index: int,
  run: str = '',
) -> page.Figure:
  """A query, its five best answers and, if not among them, the correct match.

  Args:
    retrieval: queries and answers.
    media: of the evaluation, in the order of the retrieval's ids.
    index: of the query.
    run: name of the run, where several are shown.

  Raises:
    ValueError: an item of `media` is not the one of its id.
  """
  shown = [int(answer) for answer in retrieval.top[index]]
  labels = [str(place + 1) for place in range(len(shown))]
  if index not in shown:
    shown.append(index)
    labels.append(f'rank {retrieval.ranks[index] + 1:g}')
  parts = {i: media[i] for i in {index, *shown}}
  for i, item in parts.items():
    if item.id != retrieval.ids[i]:
      raise ValueError(
        f'Media {i} of evaluation {retrieval.evaluation!r} are of {item.id!r},'
        f' but id {i} is {retrieval.ids[i]!r}. Pass the media in the order of'
        ' the ids.'
      )
  task = retrieval.task
  row = figures.sheet_row(
    parts[index],
    [parts[i] for i in shown],
    task,
    labels,
    [i == index for i in shown],
  )
  notes = [_note('query', parts[index], task.query)]
  notes += [
    _note(f'✓ {label}' if i == index else label, parts[i], task.gallery)
    for i, label in zip(shown, labels, strict=True)
  ]
  name = f'{retrieval.evaluation} {task.query} {index} {run}.png'
  return page.Figure(
    page.File(name, row),
    '; '.join(text for text, _ in notes),
    f'{run}: '
    * bool(run)
    + f'Correct match at rank {retrieval.ranks[index] + 1:g} of'
    f' {len(retrieval.ids)} ({retrieval.subsets[index]})',
    notes,
  )


def _note(
  label: str, item: Media, expression: str
) -> tuple[str, page.File | None]:
  """Caption below a row, with the recording if the embedding is of audio."""
  sound = _sound(item) if 'audio' in expression else None
  return f'{label}: {item.caption}', sound


def _sound(item: Media) -> page.File | None:
  """MP3 file of a recording; None if it is empty."""
  if not len(item.waveform):
    return None
  buffer = io.BytesIO()
  # MP3: every browser plays it, and unlike Ogg it has no random serial number.
  soundfile.write(buffer, item.waveform, features.SAMPLE_RATE, format='MP3')
  return page.File(f'{item.id}.mp3', buffer.getvalue())
