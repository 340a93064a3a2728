"""Checks that a run may query an index.

A run may query an index whose videos it embeds to the same vectors: the video
branches of both have the same fingerprint. The audio branch of the run may be
of another language (`train.frozen`), unless sound is searched by sound or
words.
"""

import pathlib
import shlex
from typing import Protocol

from avl_jax.checkpoints.fingerprints import branch_fingerprint
from avl_jax.errors import UserError
from avl_jax.search.store.index import Description, Index
from avl_jax.trained_model import TrainedModel


class Run(Protocol):
  """What a run says of itself, as `Description` does of an index."""

  @property
  def model(self) -> str:
    """Fingerprint of its model."""

  @property
  def networks(self) -> dict[str, str]:
    """Stream -> network of its features."""


def check_branch(index: Index, trained: TrainedModel, command: str) -> None:
  """Raises UserError unless a run has the video branch of an index.

  Args:
    index: to be asked.
    trained: the run's model.
    command: makes the index anew with this run.
  """
  found = {
    'video branch': branch_fingerprint(trained.model, trained.variables),
    'width of the vectors': trained.model.embed_dim,
  }
  there = {
    'video branch': index.description.branch,
    'width of the vectors': index.description.dim,
  }
  if differing := _differences(there, found):
    raise UserError(
      f'The index {index.folder} has been made by a model with another video '
      f'branch ({differing}), so the scores would mean nothing. Ask with a run '
      'whose video branch is that of the index: the run that made it, or one '
      'trained from it with --config.train.frozen="(\'video\',)". To make the '
      f'index anew with this run:\n  {command}'
    )


def check_question(
  index: Index, run: Run, branch: str, name: str, command: str
) -> None:
  """Raises UserError unless a question can be compared with vectors.

  Args:
    index: to be asked.
    run: that asks.
    branch: of the question, 'audio', 'video' or 'text'.
    name: of the vectors, 'audio', 'video' or 'sum'.
    command: see `check_branch`.
  """
  there, found = {}, {}
  if branch == 'video':
    there['networks'] = dict(index.description.networks)
    found['networks'] = run.networks
  elif name != 'video':
    there['model'] = index.description.model
    found['model'] = run.model
  if differing := _differences(there, found):
    raise UserError(
      f'The {name} vectors of the index {index.folder} are of another model '
      f'({differing}) than this question ({branch}). Ask for its pictures, '
      '--config.search.answers=video, or ask with the run that made the index. '
      f'To make the index anew with this run:\n  {command}'
    )


def rebuilding(
  folder: pathlib.Path,
  description: Description,
  workdir: pathlib.Path,
  media_dir: pathlib.Path | None,
) -> str:
  """The command that makes an index anew, of the same windows, with a run."""
  values = {
    'media_dir': media_dir or 'FOLDER',
    'index': folder,
    'window': description.window,
    'step': description.step,
    'names': description.names,
    'dtype': description.dtype,
    'rebuild': True,
  }
  words = [f'--config.search.{key}={value}' for key, value in values.items()]
  words = ['--mode=index', f'--workdir={workdir}', *words]
  return f'python main.py {" ".join(map(_quoted, words))}'


def _quoted(word: str) -> str:
  """A word for a shell; a tuple of names stays readable."""
  if "'" in word and not {*word} & {*'"$`\\!'}:
    return f'"{word}"'
  return shlex.quote(word)


def _differences(index: dict, found: dict) -> str:
  return '; '.join(
    f'{key}: {index[key]} in the index, {found[key]} in the run'
    for key in index
    if index[key] != found[key]
  )
