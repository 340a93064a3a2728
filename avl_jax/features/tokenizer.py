"""Splits captions of any script into words."""

import itertools
import re
import unicodedata

# Scripts without spaces between words; text is split where the script changes.
_HAN = (
  r'\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af'
)
_HIRAGANA = r'\u3041-\u309f'
_KATAKANA = r'\u30a1-\u30ff\u31f0-\u31ff\uff66-\uff9f'
_RUNS = re.compile(
  f'[{_HIRAGANA}][{_HIRAGANA}ー]*|[{_KATAKANA}]+|[{_HAN}]+'
  f'|[^{_HAN}{_HIRAGANA}{_KATAKANA}]+'
)


def tokenise(caption: object) -> list[str]:
  r"""Splits a caption of any script into words and keeps their case.

  For letters without combining marks the result equals the release's,
  `[\w']+` of `str(caption)`, so None becomes 'None'. The release drops the
  vowel signs of Devanagari and related scripts, which are not `\w`, and splits
  words there. Here marks and joiners belong to their word. Japanese and
  Chinese are split where kanji, hiragana and katakana meet, which only
  approximates words. Thai, Lao, Khmer and Burmese are split only at spaces.

  Args:
    caption: text, composed (NFC) or not.

  Returns:
    Words in NFC, in order.

  Example:
    tokenise('Le chat, noir')  # ['Le', 'chat', 'noir']
  """
  text = unicodedata.normalize('NFC', str(caption))
  return [
    part
    for is_word, letters in itertools.groupby(text, _belongs_to_word)
    if is_word and any(map(_is_letter, run := ''.join(letters)))
    for part in _RUNS.findall(run)
  ]


def _is_letter(character: str) -> bool:
  return character.isalnum() or character in "_'"


def _belongs_to_word(character: str) -> bool:
  return (
    _is_letter(character)
    or character in '\u200c\u200d'  # joiners
    or unicodedata.category(character) in ('Mn', 'Mc', 'Me')
  )
