"""Clips with speech and clips without, told apart by a recogniser's words.

The thesis' Sounds-241 are the clips of YouCook2's validation set in which a
recogniser found no word, Speech-241 as many others drawn at random (section
3.3.5). Here the counts come from a table, `DATASET_words.csv`, with columns
`id` (of the clip) and `words`, of any recogniser.
"""

import hashlib
import pathlib
from collections.abc import Collection, Mapping

from input_pipeline.datasets import parsing


def read_word_counts(path: pathlib.Path) -> dict[str, int]:
  """Clip -> words found in it.

  Raises:
    AnnotationError: it is not such a table, or names a clip twice.
  """
  counts: dict[str, int] = {}
  for clip, words in parsing.table(path, ['id', 'words']):
    if clip in counts or not words.isdecimal():
      raise parsing.AnnotationError(
        f'{path}: clip {clip!r}: expected it once, with a whole number of words'
        f', got {words!r}'
      )
    counts[clip] = int(words)
  return counts


def sounds_and_speech(
  counts: Mapping[str, int], clips: Collection[str], speech_words: int = 1
) -> tuple[set[str], set[str]]:
  """Two sets of clips of equal size.

  Args:
    counts: words of each clip; of other clips too.
    clips: to choose from; those without a count are in neither set.
    speech_words: words from which on there is speech in a clip.

  Returns:
    The clips with the fewest words, all of fewer than `speech_words`; and as
    many drawn from those with at least so many. The draw is by a hash of the
    id, so that it is the same wherever it is made.
  """
  known = sorted(
    (clip for clip in clips if clip in counts),
    key=lambda clip: hashlib.sha256(clip.encode()).digest(),
  )
  speech = [clip for clip in known if counts[clip] >= speech_words]
  sounds = [clip for clip in known if counts[clip] < speech_words]
  size = min(len(speech), len(sounds))
  return set(sorted(sounds, key=counts.get)[:size]), set(speech[:size])
