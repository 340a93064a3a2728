"""Kinds of the values of a config: a test and a description of each."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from avl_jax import features, loss_options
from avl_jax.retrieval import metrics


class Kind(NamedTuple):
  """What a value must be: a test, and its description for the message."""

  fits: Callable[[Any], bool]
  text: str


def _is_int(value: Any) -> bool:
  return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
  return (_is_int(value) or isinstance(value, float)) and math.isfinite(value)


def _is_sequence(value: Any) -> bool:
  return isinstance(value, tuple | list)


def _are_pairs(value: Any) -> bool:
  return _is_sequence(value) and all(
    _is_sequence(pair)
    and len(pair) == 2
    and all(isinstance(part, str) and part for part in pair)
    for pair in value
  )


def _are_ints(value: Any) -> bool:
  return _is_sequence(value) and all(_is_int(x) and x > 0 for x in value)


def _are_names(value: Any) -> bool:
  return _is_sequence(value) and all(isinstance(x, str) and x for x in value)


_COUNT = Kind(lambda x: _is_int(x) and x > 0, 'an integer of at least 1')
_COUNT_OR_0 = Kind(lambda x: _is_int(x) and x >= 0, 'an integer, 0 or more')
_PORT = Kind(lambda x: _is_int(x) and 0 <= x < 2**16, 'a port from 0 to 65535')
_SEED = Kind(
  lambda x: _is_int(x) and 0 <= x < 2**32, 'an integer from 0 to 2**32 - 1'
)
_SEEDS = Kind(
  lambda x: _is_sequence(x) and x and all(_SEED.fits(seed) for seed in x),
  'a tuple of seeds, such as (1, 2, 3)',
)
_RATES = Kind(
  lambda x: _is_sequence(x) and all(map(_RATE.fits, x)),
  'a tuple of numbers above 0, at most 1e6, such as (1e-3, 3e-4), or ()',
)
_BOOL = Kind(lambda x: isinstance(x, bool), 'True or False')
_NUMBER = Kind(_is_number, 'a number')
_SHARE = Kind(
  lambda x: _is_number(x) and 0 <= x < 1, 'a number from 0 to 1, without 1'
)
_POSITIVE = Kind(lambda x: _is_number(x) and x > 0, 'a number above 0')
# Above, an update is not finite although the gradients are.
_RATE = Kind(
  lambda x: _POSITIVE.fits(x) and x <= 1e6, 'a number above 0, at most 1e6'
)
_POSITIVE_OR_0 = Kind(lambda x: _is_number(x) and x >= 0, 'a number, 0 or more')
_INTERVAL = Kind(
  _COUNT.fits,
  'an integer of at least 1; num_steps is at the end only',
)
_WIDTHS = Kind(
  lambda x: _are_ints(x) and len(x) > 1,
  'a tuple of integers of at least 1, such as (128, 128, 256, 512, 1024)',
)
_BLOCKS = Kind(
  lambda x: _are_ints(x) and len(x) > 0,
  'a tuple of integers of at least 1, such as (2, 2, 2, 2)',
)
_IMAGE_BLOCKS = Kind(
  _are_ints, 'a tuple of integers of at least 1, such as (3, 8, 36, 3), or ()'
)
_PAIRS = Kind(
  lambda x: _are_pairs(x) and len(x) > 0,
  "pairs of names, such as (('audio', 'video'),), with the last comma",
)
# An evaluation of no tasks has a message of its own.
_TASKS = Kind(_are_pairs, _PAIRS.text)
_NAMES = Kind(_are_names, "a tuple of names, such as ('stamps/human_fr',)")
_BEAM = Kind(
  lambda x: isinstance(x, str) and x[:2] in ('', '--'), "--options or ''"
)
_SOME_NAMES = Kind(lambda x: _are_names(x) and len(x) > 0, _NAMES.text)


def _one_of(choices: tuple[str, ...]) -> Kind:
  return Kind(lambda x: x in choices, f'one of {choices}')


def _some_of(choices: tuple[str, ...]) -> Kind:
  return Kind(
    lambda x: (
      bool(_SOME_NAMES.fits(x)) and len({*x}) == len(x) and {*x} <= {*choices}
    ),
    f'a tuple of one or more of {choices}',
  )


KINDS = {  # key -> what its value must be
  'seed': _SEED,
  'num_steps': _COUNT_OR_0,
  'words.max_words': _COUNT,
  'train_data.datasets': _SOME_NAMES,
  'train_data.batch_size': _COUNT,
  'train_data.clips_per_example': _COUNT_OR_0,
  'train_data.candidates': _COUNT,
  'train_data.num_frames': _COUNT,
  'train_data.min_time': _POSITIVE_OR_0,
  'train_data.max_bad_records': _COUNT_OR_0,
  'train_data.processes': _COUNT_OR_0,
  'train_data.streams': _SOME_NAMES,
  'train_data.visual_pooling': _one_of(features.VISUAL_POOLINGS),
  'train_data.permuted_sound': _BOOL,
  'model.embed_dim': _COUNT,
  'model.widths': _WIDTHS,
  'model.blocks': _BLOCKS,
  'model.word_dim': _COUNT_OR_0,
  'model.initial_text_scale': _POSITIVE_OR_0,
  'model.image_blocks': _IMAGE_BLOCKS,
  'loss.pairs': _PAIRS,
  'loss.name': _one_of(tuple(loss_options.OPTIONS)),
  'loss.margin': _POSITIVE_OR_0,
  'loss.infonce.symmetric': _BOOL,
  'loss.max_margin.margin': _POSITIVE_OR_0,
  'loss.max_margin.diagonal': _BOOL,
  'loss.max_margin.intra_video': _SHARE,
  'loss.bce.balanced': _BOOL,
  'loss.sigmoid.initial_scale': _POSITIVE,
  'loss.sigmoid.initial_bias': _NUMBER,
  'loss.sampled_margin.margin': _POSITIVE_OR_0,
  'loss.sampled_margin.impostors': _one_of(loss_options.IMPOSTORS),
  'loss.sampled_margin.other_videos': _BOOL,
  'loss.two_way.initial_scale': _POSITIVE,
  'loss.two_way.initial_bias': _NUMBER,
  'loss.two_way.other_videos': _BOOL,
  'optimizer.learning_rate': _RATE,
  'optimizer.decay_rate': _POSITIVE,
  'optimizer.decay_steps': _COUNT,
  'optimizer.warmup_steps': _COUNT_OR_0,
  'train.log_every': _INTERVAL,
  'train.eval_every': _INTERVAL,
  'train.save_every': _INTERVAL,
  'train.max_skipped': _COUNT,
  'train.step_timeout': _POSITIVE_OR_0,
  'train.frozen': _NAMES,
  'train.pieces': _COUNT,
  'train.score_rows': _COUNT_OR_0,
  'eval_data.batch_size': _COUNT,
  'eval_data.num_frames': _COUNT,
  'eval_data.streams': _SOME_NAMES,
  'eval_data.visual_pooling': _one_of(features.VISUAL_POOLINGS),
  'eval.tasks': _TASKS,
  'eval.ties': _one_of(metrics.TIES),
  'eval.missing': _one_of(metrics.MISSING),
  'comparison.seeds': _SEEDS,
  'comparison.learning_rates': _RATES,
  'comparison.trial_steps': _COUNT_OR_0,
  'prepare.datasets': _NAMES,
  'prepare.speech_words': _COUNT,
  'prepare.segments': _one_of(('', 'speech')),
  'prepare.workers': _COUNT_OR_0,
  'prepare.beam': _BEAM,
  'prepare.decoding.memory': _COUNT,
  'prepare.decoding.wall_seconds': _POSITIVE,
  'prepare.decoding.wall_seconds_per_minute': _POSITIVE_OR_0,
  'prepare.decoding.processor_seconds': _POSITIVE_OR_0,
  'prepare.decoding.processor_seconds_per_minute': _POSITIVE_OR_0,
  'prepare.decoding.stall_seconds': _POSITIVE,
  'prepare.decoding.longest_seconds': _POSITIVE,
  'prepare.decoding.most_streams': _COUNT,
  'prepare.decoding.files': _COUNT,
  'search.window': _POSITIVE,
  'search.step': _POSITIVE,
  'search.names': _some_of(('video', 'audio', 'sum')),
  'search.dtype': _one_of(('float32', 'float16')),
  'search.rebuild': _BOOL,
  'search.part': _one_of(('', 'sound', 'picture')),
  'search.answers': _one_of(('', 'video', 'audio', 'sum')),
  'search.count': _COUNT,
  'search.threshold': _SHARE,
  'search.json': _BOOL,
  'serve.port': _PORT,
  'serve.hosts': _NAMES,
  'serve.cache_bytes': _COUNT,
  'serve.upload_bytes': _COUNT,
  'serve.question_seconds': _POSITIVE,
  'serve.clip_seconds': _POSITIVE,
  'serve.askers': _COUNT,
  'serve.answer_seconds': _POSITIVE,
  'serve.connections': _COUNT,
}
EVALUATION = {  # key of an evaluation -> what its value must be
  'datasets': _SOME_NAMES,
  'splits': _SOME_NAMES,
  'num_queries': _COUNT_OR_0,
  'num_frames': _COUNT,
}
