r"""Choices of clips: the lower half of Table 3.3, Figure 5-3 in miniature.

  python main.py --mode=compare --config=configs/clips_small.py
  python main.py --mode=compare --config=configs/clips_small.py:10s \
    --workdir=runs/clips_small

The first command trains on the generated videos of configs/narrated_videos.py,
which it prepares if needed: on clips of four lengths, on clips around captions,
on shares of the videos, and, as a control, on clips whose sounds have changed
places. There are three seeds of each. The second command is one row; both share
the runs in their workdir. Rows are joined by '+'.

Expect four to ten minutes a row on two cores. R@10 of speech to video on `test`
(349 clips, chance 2.9 %): 12.9 % for clips of 5 s, 15.2 % for 2.5 s, 4.4 % for
20 s, 6.2 % with a tenth of the videos, 2.9 % with permuted sounds.
configs/README.md has the table.

All rows have the same number of steps and of clips a step, and the same
validation clips select the checkpoint of each. They are shorter than
configs/narrated_videos.py: fewer steps and fewer clips a step, half the blocks
of the audio network, no augmentation.
"""

import ml_collections

from configs import narrated_videos

STEPS = 480
CLIPS = 4  # of a video; N = 32
RUNS = {
  'base': {},
  'permuted': {'train_data': {'permuted_sound': True}},
  'captions': {'train_data': {'min_time': 5.0}},
  '2.5s': {'train_data': {'num_frames': 250}},
  '10s': {'train_data': {'num_frames': 1000}},
  '20s': {'train_data': {'num_frames': 2000}},
  **{
    f'{share}%': {'train_data': {'split': f'train[:{share}%]'}}
    for share in (10, 25, 50)
  },
}
# R@10 of audio to video, zero-shot on YouCook2: Table 3.3.
PRINTED = {
  'Length of the clips (Table 3.3)': {
    '10s': 54.3,
    'base': 41.2,
    '20s': 40.9,
    '2.5s': 23.1,
  },
  'Clips around captions (Table 3.3, of 10 s there)': {
    'captions': 57.6,
    'base': 54.3,
  },
}
CLAIMS = (  # sections 3.3.4 and 5.4.3
  (
    'Clips of 10 s outperform those of 2.5, 5 and 20 s.',
    tuple(('10s', length) for length in ('2.5s', 'base', '20s')),
  ),
  (
    'Performance increases with the number of videos.',
    (('base', '50%'), ('50%', '25%'), ('25%', '10%')),
  ),
)


def get_config(rows: str = '') -> ml_collections.ConfigDict:
  """Returns the config of a comparison.

  Args:
    rows: names of `RUNS`, joined by '+'; '': all.

  Raises:
    ValueError: a row is unknown, or there twice.
  """
  names = rows.split('+') if rows else list(RUNS)
  if not set(names) <= RUNS.keys() or len(names) != len(set(names)):
    raise ValueError(
      f'The rows are {rows!r}. Choose some of {", ".join(RUNS)}, each once, '
      'joined by "+".'
    )
  config = narrated_videos.get_config()
  evaluations = narrated_videos.shorten(config, STEPS)
  config.train_data.clips_per_example = CLIPS
  config.train_data.spectrogram_augmentation = ml_collections.ConfigDict()
  config.comparison.update(
    runs=tuple((name, RUNS[name]) for name in names),
    seeds=(1, 2, 3),
    evaluations=evaluations,
    printed=tuple(
      (study, run, number)
      for study, numbers in PRINTED.items()
      if set(numbers) <= set(names)
      for run, number in numbers.items()
    ),
    claims=tuple(
      (sentence, pairs)
      for sentence, pairs in CLAIMS
      if set().union(*pairs) <= set(names)
    ),
  )
  return config
