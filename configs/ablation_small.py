r"""Heads, losses and baselines of the thesis, in miniature: Tables 3.2 and 3.3.

  python main.py --mode=compare --config=configs/ablation_small.py
  python main.py --mode=compare --config=configs/ablation_small.py:es

The command trains nine models on the generated videos of
configs/narrated_videos.py, which it prepares if needed: AVLnet (gated heads,
MMS), two other heads, four other losses (configs/ablation.py) and two baselines
(configs/baseline.py). All see the same videos for the same number of steps, and
the same validation clips select the checkpoint of each. There are three seeds.

The learning rate of each is the best of three in a trial of a third of the
steps, by clips that are neither trained on nor used elsewhere. The report
compares the order on the test clips with that of the thesis, and says of each
of the thesis' claims whether it shows.

Run an interrupted command again to resume it. The 54 trainings, of one to three
minutes, take 174 minutes of processor time, and the preparation of the videos
is beside it. Expect R@10 of speech to video on `test` (chance 2.9 %): AVLnet
9.2 %, from 2.9 (MIL-NCE) to 10.8 % (max-margin) for the others, and one claim
that shows, of MIL-NCE; configs/README.md has the table.
"""

import ml_collections

from configs import ablation, baseline, narrated_videos

STEPS = 300
LOSSES = ('mil_nce', 'max_margin', 'bce', 'infonce')
RUNS = {
  'AVLnet': {},
  **{row: ablation.CHANGES[row] for row in ('linear', 'nonlinear', *LOSSES)},
  # Like DAVEnet's, the heads are as wide as the audio network.
  'boggust': baseline.CHANGES['boggust']
  | {'model': {'head': 'linear', 'embed_dim': 256}},
  'arandjelovic': baseline.CHANGES['arandjelovic'],
}
# R@10 of audio to video, zero-shot on YouCook2: Tables 3.3 and 3.2.
PRINTED = {
  'Heads (Table 3.3)': {'AVLnet': 54.3, 'nonlinear': 47.8, 'linear': 44.2},
  'Losses (Table 3.3)': {
    'AVLnet': 54.3,
    'infonce': 51.6,
    'bce': 46.2,
    'max_margin': 27.4,
    'mil_nce': 24.8,
  },
  'Baselines (Table 3.2)': {
    'AVLnet': 61.5,
    'arandjelovic': 41.8,
    'boggust': 31.8,
  },
}
CLAIMS = (  # sections 3.3.4 and 3.3.3
  (
    'Gating outperforms linear and non-linear heads.',
    (('AVLnet', 'linear'), ('AVLnet', 'nonlinear')),
  ),
  (
    'MMS outperforms MIL-NCE, max-margin, binary cross entropy and InfoNCE.',
    tuple(('AVLnet', loss) for loss in LOSSES),
  ),
  (
    'MIL-NCE performs the worst.',
    tuple((run, 'mil_nce') for run in ('AVLnet', *LOSSES[1:])),
  ),
  (
    'AVLnet outperforms the baselines.',
    (('AVLnet', 'boggust'), ('AVLnet', 'arandjelovic')),
  ),
)


def get_config(language: str = 'fr') -> ml_collections.ConfigDict:
  """Returns the config of the comparison; see configs/narrated_videos.py."""
  config = narrated_videos.get_config(language)
  evaluations = narrated_videos.shorten(config, STEPS)
  held_out = {**evaluations['test'], 'splits': ('train',)}
  config.comparison.update(
    runs=tuple(RUNS.items()),
    evaluations=evaluations,
    learning_rates=(1e-3, 3e-4, 3e-3),
    trial_steps=STEPS // 3,
    trial_evaluations={'held_out': held_out},
    printed=tuple(
      (study, run, number)
      for study, rows in PRINTED.items()
      for run, number in rows.items()
    ),
    claims=CLAIMS,
  )
  return config
