"""Reads, groups and splits the files of the Tux Paint stamps.

Layout below the folder: NAME.png, NAME.txt (a line of English, then lines
`fr.utf8=caption`), NAME_desc_fr.ogg (spoken description), NAME.ogg (natural
sound).
"""

import collections
import dataclasses
import functools
import hashlib
import pathlib
import re

import numpy as np
import scipy.sparse

from avl_jax.errors import UserError

LANGUAGES = ('fr', 'ro', 'ru', 'ca', 'bg', 'es', 'be', 'el')
UNSEEN_SHARE = 0.1  # of all groups, never used for training


@dataclasses.dataclass(frozen=True)
class Stamp:
  """A picture with its captions and recordings; paths are absolute.

  Attributes:
    name: path below the stamps' folder, without suffix.
    picture: the PNG file.
    captions: language code -> caption; always has 'en'.
    recordings: language code -> file of the spoken description.
    sound: file of the natural sound, or None.
    group: hash of the content of all stamps of the group.
  """

  name: str
  picture: pathlib.Path
  captions: dict[str, str]
  recordings: dict[str, pathlib.Path]
  sound: pathlib.Path | None
  group: str = ''

  @property
  def fraction(self) -> float:
    """Number in [0, 1), uniform over groups, that decides the split."""
    return int(self.group[:12], 16) / 16**12


def normalise(caption: str) -> str:
  """Normalises a caption for comparison: drops case, quotes and full stop."""
  return re.sub(r'[^\w ]+', ' ', caption.casefold()).strip()


def _read_captions(path: pathlib.Path) -> dict[str, str]:
  lines = path.read_text('utf-8', errors='replace').splitlines()
  captions = {'en': lines[0].strip()} if lines else {}
  for line in lines[1:]:
    if match := re.match(r'(\w+)\.utf8=(.+)', line):
      captions[match[1]] = match[2].strip()
  return {language: text for language, text in captions.items() if text}


@functools.cache
def file_digest(path: pathlib.Path) -> str:
  """SHA-256 of a file, kept until the stamps are read again."""
  return hashlib.sha256(path.read_bytes()).hexdigest()


def read_stamps(folder: pathlib.Path) -> list[Stamp]:
  """Reads all stamps of objects, grouped, in an order set by their content.

  Stamps without any caption come last and have no group.

  Args:
    folder: of the stamps, or of the unpacked package.

  Raises:
    UserError: there is no stamp in the folder.
  """
  file_digest.cache_clear()  # Files may have changed.
  unpacked = folder / 'usr/share/tuxpaint/stamps'
  folder = unpacked if unpacked.is_dir() else folder
  stamps = []
  for picture in sorted(folder.rglob('*.png')):
    relative = picture.relative_to(folder)
    text = picture.with_suffix('.txt')
    if relative.parts[0] == 'symbols':
      continue
    recordings = {
      language: path
      for language in LANGUAGES
      for ending in ('ogg', 'wav')
      if (
        path := picture.with_name(f'{picture.stem}_desc_{language}.{ending}')
      ).exists()
    }
    sounds = [picture.with_suffix(ending) for ending in ('.ogg', '.wav')]
    stamps.append(
      Stamp(
        str(relative.with_suffix('')),
        picture,
        _read_captions(text) if text.exists() else {},
        recordings,
        next((path for path in sounds if path.exists()), None),
      )
    )
  if not stamps:
    raise UserError(
      f'There are no stamps in {folder}. Expected NAME.png beside NAME.txt, as '
      'in usr/share/tuxpaint/stamps of the Debian package '
      'tuxpaint-stamps-default. Set --config.prepare.media_dir to that folder.'
    )
  captioned = [stamp for stamp in stamps if stamp.captions]
  return _grouped(captioned) + [stamp for stamp in stamps if not stamp.captions]


def _content(stamp: Stamp, language: str) -> set[str]:
  """Keys of a stamp's picture and, in a language, its caption and recording."""
  keys = set()
  if language in stamp.captions:
    keys.add(f'caption {language} {normalise(stamp.captions[language])}')
  if sound := stamp.recordings.get(language):
    keys.add(f'recording {file_digest(sound)}')
  return keys | {f'picture {file_digest(stamp.picture)}'}


def _grouped(stamps: list[Stamp]) -> list[Stamp]:
  """Sets the groups: connected components of stamps that share content."""
  contents = [
    set.union(*(_content(stamp, language) for language in LANGUAGES))
    for stamp in stamps
  ]
  keys = {key: i for i, key in enumerate(sorted(set.union(*contents)))}
  pairs = [
    (i, keys[key]) for i, content in enumerate(contents) for key in content
  ]
  rows, columns = np.array(pairs).T
  shares = scipy.sparse.coo_array(
    (np.ones(len(pairs)), (rows, columns)), (len(stamps), len(keys))
  ).tocsr()
  _, labels = scipy.sparse.csgraph.connected_components(shares @ shares.T)
  members = collections.defaultdict(set)
  for label, content in zip(labels, contents, strict=True):
    members[label] |= content
  groups = {
    label: hashlib.sha256('\n'.join(sorted(content)).encode()).hexdigest()
    for label, content in members.items()
  }
  grouped = [
    dataclasses.replace(stamp, group=groups[label])
    for stamp, label in zip(stamps, labels, strict=True)
  ]
  return sorted(
    grouped, key=lambda s: (s.group, file_digest(s.picture), s.name)
  )


def drop_duplicates(stamps: list[Stamp], language: str) -> list[Stamp]:
  """Drops stamps that share a picture, caption or audio with an earlier one.

  Args:
    stamps: each has a recording in the language, or else a natural sound.
    language: of captions and recordings.
  """
  seen, chosen = set(), []
  for stamp in stamps:
    content = _content(stamp, language)
    if language not in stamp.recordings:
      content.add(f'recording {file_digest(stamp.sound)}')
    if not content & seen:
      chosen.append(stamp)
    seen |= content
  return chosen


def split_of(stamp: Stamp) -> str:
  """Split of a stamp: 'unseen_words' (a tenth), else 'train' or 'test'."""
  if stamp.fraction < UNSEEN_SHARE:
    return 'unseen_words'
  middle = UNSEEN_SHARE + (1 - UNSEEN_SHARE) / 2
  return 'train' if stamp.fraction < middle else 'test'


def splits(stamps: list[Stamp], kind: str) -> dict[str, list[Stamp]]:
  """Divides stamps into the splits of a kind of audio, see `builder`."""
  if kind == 'sounds':
    return {'test': stamps}
  members = {'train': [], 'test': [], 'unseen_words': []}
  for stamp in stamps:
    members[split_of(stamp)].append(stamp)
  if kind == 'narrated':
    seen, unseen = members['train'] + members['test'], members['unseen_words']
    members = {'train': seen, 'validation': seen, 'unseen_words': unseen}
  return members
