"""Settings of a few short narrated videos."""

SMALL = {
  'num_videos': (1, 1, 1),
  'num_clip_videos': (1, 1, 1),
  'num_human_videos': 1,
  'lengths': (5.0, 7.0),
  'scene_lengths': (2.5, 3.5),
  'speech_share': 1.0,
  'sound_share': 1.0,
}
