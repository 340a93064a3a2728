"""Keys that came after the first runs, with what was done before they existed.

An old config.json or checkpoint lacks them. Its run resumes and is evaluated
with these values, which need not be the defaults of configs/avlnet.py. Add a
key here when you add one there.

One exception: `eval_dtype`. Old evaluations computed in the model's type;
float32 is what they meant.
"""

from collections.abc import Mapping
from typing import Any

_STREAMS = ('visual_2d', 'visual_3d')
LATER: dict[str, Any] = {  # key of a config -> value
  'recipe': '',
  'image_weights': '',
  'eval_dtype': 'float32',
  'release.file': '',
  'prepare.resnet152': '',
  'prepare.resnext101': '',
  'prepare.speech_words': 1,
  'prepare.narrated': {},
  'prepare.segments': '',
  'prepare.speech.seed': 1,
  'prepare.speech.clips': (10_000, 3_000, 3_000),
  'prepare.speech.lengths': (5.0, 50.0),
  'prepare.speech.pause': 1.0,
  'prepare.workers': 1,
  'prepare.beam': '',
  'prepare.decoding.memory': 6 * 2**30,
  'prepare.decoding.wall_seconds': 60.0,
  'prepare.decoding.wall_seconds_per_minute': 600.0,
  'prepare.decoding.processor_seconds': 60.0,
  'prepare.decoding.processor_seconds_per_minute': 600.0,
  'prepare.decoding.stall_seconds': 60.0,
  'prepare.decoding.longest_seconds': 12 * 3600.0,
  'prepare.decoding.most_streams': 100,
  'prepare.decoding.files': 1000,
  'words.vectors': '',
  'words.max_words': 20,
  'train_data.candidates': 1,
  'train_data.min_time': 0.0,
  'train_data.word_order': 'time',
  'train_data.streams': _STREAMS,
  'train_data.visual_pooling': 'max',
  'train_data.permuted_sound': False,
  'train_data.spectrogram_augmentation': {},
  'train_data.processes': 0,
  'train_data.max_bad_records': 0,  # the first one ended the run
  'model.word_dim': 0,
  'model.fused': False,
  'model.initial_text_scale': 1.0,
  'model.head': 'gated',
  'model.normalize': False,
  'model.image_blocks': (),
  'model.frozen_image': True,
  'loss.name': 'mms',
  'loss.infonce.symmetric': True,
  'loss.max_margin.margin': 0.1,
  'loss.max_margin.diagonal': True,
  'loss.max_margin.intra_video': 0.0,
  'loss.bce.balanced': False,
  'loss.sigmoid.initial_scale': 10.0,
  'loss.sigmoid.initial_bias': -10.0,
  'loss.sampled_margin.margin': 1.0,
  'loss.sampled_margin.impostors': 'sampled',
  'loss.sampled_margin.other_videos': False,
  'loss.two_way.initial_scale': 1.0,
  'loss.two_way.initial_bias': 1.4,
  'loss.two_way.other_videos': True,
  'train.max_skipped': 1,  # the first step that was not finite ended the run
  'train.save_every': 1_000_000_000,  # saved after evaluations only
  'train.step_timeout': 0,
  'train.frozen': (),
  'train.pieces': 1,
  'train.score_rows': 0,
  'eval_data.streams': _STREAMS,
  'eval_data.visual_pooling': 'max',
  'eval.missing': 'skip',
  'comparison.runs': (),
  'comparison.seeds': (1, 2, 3),
  'comparison.evaluations': {},
  'comparison.side_by_side': (),
  'comparison.curve': (),
  'comparison.amount': '',
  'comparison.learning_rates': (),
  'comparison.trial_steps': 0,
  'comparison.trial_evaluations': {},
  'comparison.printed': (),
  'comparison.claims': (),
  'search.media_dir': '',
  'search.index': '',
  'search.window': 10.0,
  'search.step': 5.0,
  'search.names': ('video', 'audio'),
  'search.dtype': 'float32',
  'search.rebuild': False,
  'search.query': '',
  'search.words': '',
  'search.part': '',
  'search.answers': '',
  'search.count': 10,
  'search.threshold': 0.1,
  'search.json': False,
  'serve.host': '127.0.0.1',
  'serve.port': 8008,
  'serve.prefix': '',
  'serve.hosts': (),
  'serve.token_file': '',
  'serve.cache_dir': '',
  'serve.cache_bytes': 2 * 2**30,
  'serve.upload_bytes': 64 * 2**20,
  'serve.question_seconds': 120.0,
  'serve.clip_seconds': 60.0,
  'serve.askers': 32,
  'serve.answer_seconds': 60.0,
  'serve.connections': 200,
}
_PARTS = (  # that came later as a whole
  *('release', 'words', 'comparison', 'search', 'serve'),
  *('prepare.decoding', 'prepare.speech'),
  *('loss.infonce', 'loss.max_margin', 'loss.bce', 'loss.sigmoid'),
  *('loss.sampled_margin', 'loss.two_way'),
)
_METADATA = {  # of a checkpoint
  'examples': 0,
  'networks': {},
  'initial': '',
  'batch_size': 0,
  'best_metric': '',
}


def complete_config(tree: Mapping[str, Any]) -> dict[str, Any]:
  """Adds the later keys that a config, nested dicts, lacks."""
  completed = dict(tree)
  for key, value in LATER.items():
    *outer, inner = key.split('.')
    part = completed
    for depth, name in enumerate(outer, 1):
      is_later = '.'.join(outer[:depth]) in _PARTS
      found = part.get(name, {} if is_later else None)
      if not isinstance(found, Mapping):
        break  # Whoever reads the config says what is wrong.
      part[name] = dict(found)
      part = part[name]
    else:
      part.setdefault(inner, value)
  return completed


def complete_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
  """Adds the later keys that the metadata of a checkpoint lacks."""
  model = {
    key.removeprefix('model.'): list(value) if value == () else value
    for key, value in LATER.items()
    if key.startswith('model.')
  }
  return {
    **_METADATA,
    **metadata,
    'model': {**model, **metadata.get('model', {})},
  }
