"""Generates narrated videos into a folder that own videos can be prepared from.

Files of the folder:

  manifest.csv         the untrimmed videos
  captions.csv         what is said in them, with times
  clips.csv            the annotated clips of other videos
  human.csv            clips in which a volunteer speaks
  ID.mp4, ID.json      a video, and the truth about it (see `truth`)
  settings.json        the settings; written last
  SYNTHETIC            marks the records as made up
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import time
from collections.abc import Sequence

import tqdm

from avl_jax import logs
from avl_jax.errors import UserError
from avl_jax.features import MediaError, images, reading
from avl_jax.files import Lock, write_atomically, writing
from input_pipeline.datasets.narrated_videos import (
  casting,
  film,
  listing,
  pictures,
  scripts,
  settings,
  truth,
  voices,
)
from input_pipeline.datasets.narrated_videos.casting import Cast
from input_pipeline.datasets.narrated_videos.settings import Settings
from input_pipeline.datasets.stamps import narration, tuxpaint
from input_pipeline.datasets.stamps.tuxpaint import Stamp
from input_pipeline.records import catalog


def generate(
  root: pathlib.Path, stamps_folder: pathlib.Path, chosen: Settings
) -> pathlib.Path:
  """Generates the videos of some settings, unless they are there.

  The result is a function of the settings and stamps: the same bytes in any
  order and with any number of cores, by the same version of FFmpeg. What an
  interrupted call has made is kept.

  Args:
    root: gets a folder for these settings and stamps.
    stamps_folder: of the stamps, or of the unpacked package.
    chosen: settings.

  Returns:
    The folder; see the module.

  Raises:
    UserError: there are too few stamps, or a file cannot be written.
  """
  digest = stamps_digest(stamps_folder, chosen.language)
  folder = folder_of(root, chosen, digest)
  with Lock(folder):
    if not settings.are_those_of(folder, chosen, digest):
      stamps = read_stamps(stamps_folder, chosen.language)
      _generate(folder, chosen, casting.cast(chosen, stamps))
      write_atomically(folder / settings.FILE, chosen.text(digest))
  return folder


def folder_of(
  root: pathlib.Path, chosen: Settings, digest: str
) -> pathlib.Path:
  """The folder of the videos of some settings and a digest of stamps."""
  of_all = hashlib.sha256(chosen.text(digest).encode()).hexdigest()
  return root / f'{chosen.language}-{of_all[:12]}'


def stamps_digest(folder: pathlib.Path, language: str) -> str:
  """SHA-256 of all of the stamps that videos in a language are made of.

  Raises:
    UserError: there are no stamps in the folder, of any language.
  """
  facts = [
    (
      stamp.name,
      stamp.group,
      stamp.captions,
      stamp.sound and tuxpaint.file_digest(stamp.sound),
    )
    for stamp in _spoken(folder, language)
  ]
  text = json.dumps(facts, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _spoken(folder: pathlib.Path, language: str) -> list[Stamp]:
  """The stamps with a caption and a recording in a language."""
  return [
    stamp
    for stamp in tuxpaint.read_stamps(folder)
    if language in stamp.captions and language in stamp.recordings
  ]


def read_stamps(folder: pathlib.Path, language: str) -> list[Stamp]:
  """The stamps with a picture, a caption and a recording in a language.

  Of those with the same picture, caption or recording, the first is taken.

  Raises:
    UserError: there are none.
  """
  found = []
  for stamp in _spoken(folder, language):
    try:
      with reading.guard(stamp.name):
        images.read_image(stamp.picture)
    except MediaError:
      continue
    found.append(stamp)
  if not found:
    raise UserError(
      f'No stamp in {folder} has a caption and a recording in {language!r}. '
      'Choose another language, or the whole folder of the stamps.'
    )
  return tuxpaint.drop_duplicates(found, language)


def _generate(
  folder: pathlib.Path, chosen: Settings, casts: Sequence[Cast]
) -> None:
  began, narrator = time.perf_counter(), narration.Narrator()

  def make(cast: Cast) -> tuple[truth.Truth, bool]:
    return make_video(folder, chosen, cast, narrator)

  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    # Longer ones first, so that the cores end at the same time.
    order = sorted(casts, key=lambda cast: -cast.seconds)
    title = f'narrated videos ({chosen.language})'
    bar = tqdm.tqdm(
      pool.map(make, order), title, total=len(order), mininterval=1
    )
    made = {video['id']: (video, is_new) for video, is_new in bar}
  videos = [made[cast.id][0] for cast in casts]
  listing.write(folder, videos)
  write_atomically(folder / catalog.SYNTHETIC, '')
  elapsed = time.perf_counter() - began
  seconds = sum(video['seconds'] for video, is_new in made.values() if is_new)
  logs.write(
    f'Generated {len(videos):,} videos, {seconds / 3600:.2f} hours of them now '
    f'in {elapsed:.0f} s: {seconds / elapsed:.0f} s of video a second. They '
    f'are in {folder}.'
  )


def make_video(
  folder: pathlib.Path,
  chosen: Settings,
  cast: Cast,
  narrator: narration.Narrator,
) -> tuple[truth.Truth, bool]:
  """Writes a video and the truth about it, unless they are there.

  Returns:
    The truth, and whether the video is new.

  Raises:
    UserError: a file cannot be written.
  """
  path = folder / f'{cast.id}.mp4'
  notes = path.with_suffix('.json')
  if notes.is_file():  # It is written after the video.
    return json.loads(notes.read_bytes()), False
  script = scripts.write(
    chosen,
    cast,
    speak=voices.speaker(cast, narrator),
    natural_sound=voices.natural_sound,
  )
  stage = pictures.Stage(chosen, script)
  temporary = folder / f'.{cast.id}.mp4'
  with writing(path):
    film.write(
      temporary,
      stage.frames(),
      pictures.FRAME_RATE,
      (scripts.WIDTH, scripts.HEIGHT),
      voices.mix(chosen, script),
    )
    os.replace(temporary, path)
  video = truth.of_video(script, stage)
  write_atomically(notes, json.dumps(video, ensure_ascii=False) + '\n')
  return video, True
