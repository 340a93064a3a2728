"""Divides clips into clips with and without speech, by counts of words.

In the thesis, Sounds-241 are the clips of YouCook2's validation set in which a
speech recogniser found no word; Speech-241 are as many others drawn at random
(section 3.3.5). Here the counts come from a table, `DATASET_words.csv`, made
with any recogniser. Its columns are `id` (of the clip) and `words`.
"""

import hashlib
import pathlib
from collections.abc import Collection, Mapping

from input_pipeline.datasets import parsing


def read_word_counts(path: pathlib.Path) -> dict[str, int]:
  """Reads clip -> number of words.

  Raises:
    AnnotationError: the table is malformed, or names a clip twice.
  """
  counts: dict[str, int] = {}
  for clip, words in parsing.read_table(path, ['id', 'words']):
    if clip in counts or not words.isdecimal():
      raise parsing.AnnotationError(
        f'{path}: clip {clip!r}: Expected the clip once, with a whole number '
        f'of words, got {words!r}.'
      )
    counts[clip] = int(words)
  return counts


def sounds_and_speech(
  counts: Mapping[str, int], clips: Collection[str], speech_words: int = 1
) -> tuple[set[str], set[str]]:
  """Chooses two sets of clips of equal size, without and with speech.

  Args:
    counts: words per clip; may name other clips, too.
    clips: to choose from; clips without a count are in neither set.
    speech_words: least number of words of a clip with speech.

  Returns:
    The clips with the fewest words, all below `speech_words`; and as many
    clips with at least `speech_words`, drawn by a hash of the id, so that the
    draw is the same everywhere.
  """
  known = sorted(
    (clip for clip in clips if clip in counts),
    key=lambda clip: hashlib.sha256(clip.encode()).digest(),
  )
  speech = [clip for clip in known if counts[clip] >= speech_words]
  sounds = [clip for clip in known if counts[clip] < speech_words]
  size = min(len(speech), len(sounds))
  return set(sorted(sounds, key=lambda clip: counts[clip])[:size]), set(
    speech[:size]
  )
