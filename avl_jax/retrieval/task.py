"""Retrieval tasks: a query and a gallery, as expressions over embeddings."""

from __future__ import annotations

import dataclasses

_TITLE, _LABEL, _KEY = ' -> ', ' → ', '_to_'


@dataclasses.dataclass(frozen=True)
class Task:
  """A direction of retrieval. Configs write it as ('audio', 'video').

  Example:
    task = Task('audio', 'video')
    task.title  # 'audio -> video', in evaluation.json and comparison.json
    task.label  # 'audio → video', in reports
    task.key  # 'audio_to_video', in metric names

  Attributes:
    query: expression over the embeddings, 'audio' or 'audio+video'; see
      `expressions.combine`.
    gallery: likewise.
  """

  query: str
  gallery: str

  @property
  def title(self) -> str:
    """Form in JSON files: 'audio -> video'."""
    return f'{self.query}{_TITLE}{self.gallery}'

  @property
  def label(self) -> str:
    """Form in reports: 'audio → video'."""
    return f'{self.query}{_LABEL}{self.gallery}'

  @property
  def key(self) -> str:
    """Form in metric names: 'audio_to_video'."""
    return f'{self.query}{_KEY}{self.gallery}'

  @classmethod
  def from_title(cls, title: str) -> Task:
    """Task of a `title`; raises ValueError if the string is not one."""
    return cls._split(title, _TITLE)

  @classmethod
  def from_key(cls, key: str) -> Task:
    """Task of a `key`; raises ValueError if the string is not one."""
    return cls._split(key, _KEY)

  @classmethod
  def _split(cls, text: str, separator: str) -> Task:
    query, _, gallery = text.partition(separator)
    if not query or not gallery:
      raise ValueError(
        f'{text!r} is not a retrieval task. Expected a query and a gallery'
        f' joined by {separator!r}.'
      )
    return cls(query, gallery)
