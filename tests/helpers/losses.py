"""Every loss, with each of its options, and values of what losses learn."""

import math

import numpy as np

LEARNT = {
  'log_scale': np.array(math.log(3.0)),
  'scale': np.array(0.7),
  'bias': np.array(-1.5),
}
CHOICES = {  # of config.loss
  'mms': {'name': 'mms', 'margin': 0.2},
  'infonce': {'name': 'infonce'},
  'infonce one way': {'name': 'infonce', 'infonce': {'symmetric': False}},
  'max_margin': {'name': 'max_margin', 'max_margin': {'margin': 0.3}},
  'max_margin apart': {
    'name': 'max_margin',
    'max_margin': {'margin': 0.3, 'diagonal': False},
  },
  'max_margin intra': {
    'name': 'max_margin',
    'max_margin': {'intra_video': 0.5},
  },
  'max_margin intra apart': {
    'name': 'max_margin',
    'max_margin': {'intra_video': 0.3, 'diagonal': False},
  },
  'bce': {'name': 'bce'},
  'bce balanced': {'name': 'bce', 'bce': {'balanced': True}},
  'mil_nce': {'name': 'mil_nce'},
  'sigmoid': {'name': 'sigmoid'},
  'sampled_margin': {'name': 'sampled_margin'},
  'sampled_margin elsewhere': {
    'name': 'sampled_margin',
    'sampled_margin': {'margin': 0.5, 'other_videos': True},
  },
  'sampled_margin semi-hard': {
    'name': 'sampled_margin',
    'sampled_margin': {'impostors': 'semi_hard'},
  },
  'sampled_margin both': {
    'name': 'sampled_margin',
    'sampled_margin': {'impostors': 'both'},
  },
  'two_way': {'name': 'two_way'},
  'two_way anywhere': {'name': 'two_way', 'two_way': {'other_videos': False}},
}
