"""Small data sets with annotation files in the real formats, and videos.

Each function writes the files of one data set, with one clip for each kind of
error, and returns the good clips: (split, id, video, start, end, captions).
"""

import json
import math
import pathlib
import zlib

import numpy as np

from tests.helpers import media

SECONDS = 8  # of a video
RATE = 16_000


class Extractor:
  """Makes features that depend only on the file's name and the piece."""

  def __init__(self):
    self.widths = {'visual_2d': 6, 'visual_3d': 4}
    self.calls = []

  def __call__(self, path, start, end, frames=None):
    """Returns 1 and 1.5 rows per second."""
    self.calls.append((path.name, start, end))
    end = SECONDS if end is None else end
    seed = zlib.crc32(f'{path.name} {start:g} {end:g}'.encode())
    rng = np.random.default_rng(seed)
    seconds = max(1, math.ceil(min(end, SECONDS) - start))
    return {
      'visual_2d': rng.normal(size=(seconds, 6)).astype(np.float16),
      'visual_3d': rng.normal(size=(seconds * 3 // 2, 4)).astype(np.float16),
    }


def sound(video: str) -> np.ndarray:
  """float32 [2, samples]: a rising tone that differs per video, and an echo."""
  t = np.arange(SECONDS * RATE) / RATE
  low = 200 + zlib.crc32(video.encode()) % 800
  tone = 0.4 * np.sin(2 * np.pi * (low * t + 60 * t**2))
  return np.float32([tone, 0.1 * tone[::-1]])


def write_videos(folder: pathlib.Path, *names: str) -> None:
  """Writes videos of these names; the suffix decides on the codec."""
  for name in names:
    path = folder / name
    codec = {'.webm': 'libopus', '.avi': 'libmp3lame'}.get(path.suffix, 'aac')
    rate = 48_000 if codec == 'libopus' else RATE
    waveform = np.repeat(sound(path.stem), rate // RATE, axis=1)
    media.write(path, waveform, rate, codec=codec, seconds=SECONDS)


def write_bad_videos(folder: pathlib.Path) -> None:
  """Writes unusable files; see `BAD`.

  mute: no audio; garbled: no video; list: a playlist; cut: half a file;
  linked: a link that leads out of the folder.
  """
  media.write(folder / 'mute.mp4', None, seconds=2)
  (folder / 'garbled.mp4').write_bytes(b'\0\0\0\x18ftypisom' + b'no video' * 99)
  (folder / 'list.mp4').write_text(
    '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n'
  )
  media.write(folder / 'cut.mp4', sound('cut'), RATE, seconds=SECONDS)
  whole = (folder / 'cut.mp4').read_bytes()
  (folder / 'cut.mp4').write_bytes(whole[: len(whole) // 2])
  outside = folder.parent.parent / 'outside.mp4'
  media.write(outside, sound('outside'), RATE, seconds=2)
  (folder / 'linked.mp4').symlink_to(outside)


BAD = {  # video -> reason for which its clips are skipped
  'mute': 'no sound',
  'garbled': 'unreadable',
  'list': 'unreadable',
  'cut': 'unreadable',
  'linked': 'unsafe name',
  'gone': 'missing',
  '../outside': 'unsafe name',
  '/etc/passwd': 'unsafe name',
}


def youcook2(folder: pathlib.Path) -> list[tuple]:
  """YouCook2: videos by recipe, one file in `annotations`."""
  names = ('training/113/vidA', 'validation/201/vid-B', 'validation/201/vid_C')
  write_videos(
    folder / 'videos',
    f'{names[0]}.mp4',
    f'{names[1]}.webm',
    f'{names[2]}.mkv',
  )
  write_bad_videos(folder / 'videos')
  segments = {
    'vidA': ('training', [[1, 3], [2.5, 7.25]]),
    'vid-B': ('validation', [[0, 4], [3, 3], [5, 8]]),
    'vid_C': ('validation', [[6, 20], [30, 40]]),
    **{name: ('validation', [[1, 2]]) for name in BAD},
  }
  database = {
    video: {
      'subset': subset,
      'recipe_type': '113',
      'duration': 8.1,
      'video_url': 'somewhere',
      'annotations': [
        {'id': i, 'segment': segment, 'sentence': f'{video}, "step" {i}'}
        for i, segment in enumerate(pieces)
      ],
    }
    for video, (subset, pieces) in segments.items()
  }
  database['unseen'] = {'subset': 'testing', 'duration': 9}
  path = folder / 'annotations' / 'youcookii_annotations_trainval.json'
  path.parent.mkdir(parents=True)
  path.write_text(json.dumps({'database': database}))
  return [
    (split, f'{video}_{i}', video, *segment, (f'{video}, "step" {i}',))
    for split, video, i, segment in (
      ('train', 'vidA', 0, (1, 3)),
      ('train', 'vidA', 1, (2.5, 7.25)),
      ('val', 'vid-B', 0, (0, 4)),
      ('val', 'vid-B', 2, (5, 8)),
      ('val', 'vid_C', 0, (6, 20)),
    )
  ]


def crosstask(folder: pathlib.Path) -> list[tuple]:
  """CrossTask: two primary tasks, a related one; annotations of both kinds."""
  release = folder / 'crosstask_release'
  (release / 'annotations').mkdir(parents=True)
  (folder / 'crosstask_constraints').mkdir()
  (release / 'tasks_primary.txt').write_text(
    '16815\nGrill Steak\nhttps://a/b\n3\nseason steak,put on grill,flip\n\n'
    '23521\nMake Jello\nhttps://a/c\n1\nboil water\n'
  )
  train = ['16815,vid-A', '23521,vidB', '99999,vidR']
  train += ['16815,../../secret', '16815,none']
  val = ['16815,vidC', '23521,gone']
  (release / 'videos_val.csv').write_text(
    ''.join(f'{line},https://you/{line[6:]}\n' for line in val)
  )
  (release / 'videos.csv').write_text(
    ''.join(f'{line},https://you/{line[6:]}\n' for line in [*train, *val])
  )
  tables = {
    'crosstask_constraints/16815_vid-A': '1,0,2\n3,2.5,4\n',
    'crosstask_constraints/23521_vidB': '1,1,3.5\n',
    'crosstask_release/annotations/16815_vid-A': '2,0,8\n',
    'crosstask_release/annotations/16815_vidC': '2,0.5,3.25\n1,4,6\n',
    'crosstask_release/annotations/23521_gone': '1,0,1\n',
  }
  for name, lines in tables.items():
    (folder / f'{name}.csv').write_text(lines)
  write_videos(folder / 'videos', 'vid-A.mp4', 'vidB.avi', 'vidC.mkv')
  return [
    ('train', '16815_vid-A_0', 'vid-A', 0, 2, ('season steak',)),
    ('train', '16815_vid-A_1', 'vid-A', 2.5, 4, ('flip',)),
    ('train', '23521_vidB_0', 'vidB', 1, 3.5, ('boil water',)),
    ('val', '16815_vidC_0', 'vidC', 0.5, 3.25, ('put on grill',)),
    ('val', '16815_vidC_1', 'vidC', 4, 6, ('season steak',)),
  ]


def msrvtt(folder: pathlib.Path) -> list[tuple]:
  """MSR-VTT: trimmed videos, a JSON of sentences, three lists."""
  videos = ['video0', 'video1', 'video7010', 'video9770', 'mute']
  sentences = [
    {'video_id': video, 'caption': f'{video} is {word}', 'sen_id': 3 * i + j}
    for i, video in enumerate(videos)
    for j, word in enumerate(('red', 'green', 'blue'))
  ]
  (folder / 'MSRVTT_data.json').write_text(
    json.dumps(
      {
        'info': {},
        'videos': [
          {
            'video_id': video,
            'category': 9,
            'url': 'somewhere',
            'start time': 137.72,
            'end time': 149.44,
            'split': 'train',
            'id': i,
          }
          for i, video in enumerate(videos)
        ],
        'sentences': sentences,
      }
    )
  )
  (folder / 'MSRVTT_train.7k.csv').write_text('video_id\nvideo0\nvideo9999\n')
  (folder / 'MSRVTT_train.9k.csv').write_text('video_id\nvideo0\nvideo1\n')
  (folder / 'MSRVTT_JSFUSION_test.csv').write_text(
    'key,vid_key,video_id,sentence\n'
    'ret0,msr9770,video9770,video9770 is green\n'
    'ret1,msr7010,video7010,"a man, speaking"\n'
    'ret2,msr1,mute,nothing\n'
  )
  folder = folder / 'videos' / 'TrainValVideo'
  write_videos(folder, *(f'{video}.mp4' for video in videos[:-1]))
  media.write(folder / 'mute.mp4', None, seconds=2)
  whole = (0, math.inf)

  def said(video):
    return tuple(f'{video} is {word}' for word in ('red', 'green', 'blue'))

  mixed = ('video9770 is green', 'video9770 is red', 'video9770 is blue')
  spoken = ('a man, speaking', *said('video7010'))
  return [
    ('train_7k', 'video0', 'video0', *whole, said('video0')),
    ('train_1ka', 'video0', 'video0', *whole, said('video0')),
    ('train_1ka', 'video1', 'video1', *whole, said('video1')),
    ('test', 'video9770', 'video9770', *whole, mixed),
    ('test', 'video7010', 'video7010', *whole, spoken),
  ]


def lsmdc(folder: pathlib.Path) -> list[tuple]:
  """LSMDC: trimmed clips in a folder per film, tables without quoting."""
  clips = [
    '0001_American_Beauty_00.00.51.926-00.00.54.129',
    '0001_American_Beauty_00.00.56.224-00.01.03.394',
    '1010_TITANIC_00.41.32.072-00.41.40.196',
  ]
  times = '00.00.51.926\t00.00.54.129\t00.00.51.815\t00.00.54.240'
  (folder / 'LSMDC16_annos_training.csv').write_text(
    f'{clips[0]}\t{times}\t"SOMEONE, says so.\n'
    f'{clips[0]}\t{times}\tAnd he leaves.\n'
    f'{clips[1]}\t{times}\tA door opens.\n'
  )
  (folder / 'LSMDC16_challenge_1000_publictect.csv').write_text(
    f'{clips[2]}\t{times}\tThe ship.\ngone\t{times}\tNo one.\n'
  )
  write_videos(
    folder / 'videos',
    f'0001_American_Beauty/{clips[0]}.avi',
    f'0001_American_Beauty/{clips[1]}.avi',
    f'1010_TITANIC/{clips[2]}.mp4',
  )
  whole = (0, math.inf)
  return [
    ('train', clips[0], clips[0], *whole, ('"SOMEONE, says so.',)),
    ('train', f'{clips[0]}/1', clips[0], *whole, ('And he leaves.',)),
    ('train', clips[1], clips[1], *whole, ('A door opens.',)),
    ('test', clips[2], clips[2], *whole, ('The ship.',)),
  ]


def youcook_japanese(folder: pathlib.Path) -> list[tuple]:
  """YouCook-Japanese: times in the JSON, or in a table for one split."""
  (folder / 'youcook_japanese_v1.json').write_text(
    json.dumps(
      {
        'train': {'ja-A': [[0, 6], [1, 2], [2, 8]]},
        'val': ['ja_B', 'ja_X'],
        'eval': {'ja_C': [[1.5, 7]]},
      }
    )
  )
  (folder / 'youcook_japanese_clips.csv').write_text(
    'video,start,end\nja_B,0.5,7.5\n'
  )
  write_videos(folder / 'videos', 'ja-A.mp4', 'ja_B.webm', 'ja_C.mp4')
  return [
    ('train', 'ja-A_0', 'ja-A', 0, 6, ()),
    ('train', 'ja-A_2', 'ja-A', 2, 8, ()),
    ('val', 'ja_B_0', 'ja_B', 0.5, 7.5, ()),
    ('eval', 'ja_C_0', 'ja_C', 1.5, 7, ()),
  ]
