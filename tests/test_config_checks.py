"""Values of a config that are not possible, told in one line with the key."""

import pathlib

import pytest

import main
from avl_jax import config_checks, loss_options
from avl_jax.config import read_config
from avl_jax.errors import ConfigError, UserError

ROOT = pathlib.Path(__file__).parents[1]
WRONG = (
  *(
    f'train.{key}_every={value}'
    for key in ('log', 'eval', 'save')
    for value in (0, -1)
  ),
  *('train.max_skipped=0', 'train.step_timeout=-1', 'num_steps=-1', 'seed=-1'),
  *('train_data.batch_size=0', 'train_data.batch_size=-8'),
  *('train_data.num_frames=0', 'train_data.clips_per_example=-1'),
  *('train_data.min_time=-0.5', 'train_data.min_time=nan'),
  *('train_data.max_bad_records=-1', 'train_data.datasets=()'),
  *("train_data.datasets=('stamps/human_fr',3)", 'words.max_words=0'),
  *('model.embed_dim=0', 'model.embed_dim=-4', 'model.word_dim=-1'),
  *('model.widths=(32,32,64)', 'model.widths=(0,32,64,128,256)'),
  *("model.widths=('a','b')", 'model.blocks=()', 'model.blocks=(2,2,2,0)'),
  *('model.image_blocks=(3,-8)', 'loss.margin=-1', 'loss.margin=inf'),
  *('loss.name=infonec', 'loss.max_margin.margin=-1'),
  *('loss.max_margin.intra_video=1.0', 'loss.max_margin.intra_video=-0.1'),
  *('loss.sigmoid.initial_scale=0', 'loss.sigmoid.initial_bias=nan'),
  *('train_data.candidates=0', 'train_data.candidates=3'),
  *('train_data.visual_pooling=middle', 'eval_data.visual_pooling=mean'),
  *('loss.name=two_way', 'loss.sampled_margin.impostors=hard'),
  *('loss.sampled_margin.margin=-1', 'loss.two_way.initial_scale=0'),
  *('comparison.learning_rates=(0,)', 'comparison.trial_steps=-1'),
  *("loss.pairs=('audio','video')", 'loss.pairs=()'),
  *("loss.pairs=(('audio','video','text'),)", "eval.tasks=('audio','video')"),
  *("eval.tasks=(('audio','video'))", "eval.tasks=(('audio',''),)"),
  *("eval.tasks=(('audio',),)", 'eval.ties=against_me', 'eval.missing=first'),
  *('optimizer.decay_steps=0', 'optimizer.decay_steps=-1'),
  *('optimizer.learning_rate=0', 'optimizer.learning_rate=-1e-3'),
  *('optimizer.learning_rate=nan', 'optimizer.learning_rate=1e7'),
  'optimizer.decay_rate=0',
  *('optimizer.warmup_steps=-1', 'eval_data.batch_size=0'),
  *('eval_data.num_frames=-5', 'eval_data.streams=()'),
  *('comparison.seeds=()', 'comparison.seeds=(1,-2)'),
  *('best_metric=nobody/test/audio_to_video/R@10', 'prepare.speech_words=0'),
  *('prepare.decoding.longest_seconds=0', 'prepare.workers=-1'),
  'prepare.beam=DirectRunner',
  'eval_data.evaluations.human_fr.num_queries=-1',
  'eval_data.evaluations.human_fr.splits=()',
  *('search.window=0', 'search.step=-1.0', 'search.step=11.0'),
  *('search.names=()', "search.names=('video','video')", 'search.names=(1,)'),
  *("search.names=('text',)", 'search.dtype=bfloat16'),
)


@pytest.mark.parametrize('option', WRONG)
def test_told_in_one_line_with_the_key(option, monkeypatch):
  monkeypatch.chdir(ROOT)
  key = option.partition('=')[0]
  with pytest.raises(ConfigError, match=f'{key} is .*Expected .*') as caught:
    main.read_arguments(
      ['main.py', '--config=configs/stamps.py', f'--config.{option}']
    )
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'evaluations': {'x': {'splits': ('a',)}}}, r'x has no datasets'),
    ({'evaluations': {'x': ('a', 'b')}}, r'x is \(.*Expected a dict'),
    ({'num_frames': None}, r'num_frames is None'),
    ({'batch_size': True}, r'batch_size is True'),
  ],
)
def test_values_that_only_files_can_have(changes, message):
  config = read_config(f'{ROOT}/configs/stamps.py').unlock()
  config.best_metric = ''
  del config.eval_data.evaluations
  config.eval_data.evaluations = {}
  for key, value in changes.items():
    del config.eval_data[key]
    config.eval_data[key] = value
  with pytest.raises(ConfigError, match=message):
    config_checks.check(config)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (('loss.bce.balance=True',), r'keys of loss\.bce: balanced\.$'),
    (('loss.max_margin.weights=1',), 'max_margin: diagonal, intra_video, m'),
    (('colour=1',), 'keys of the config: .*loss'),
    (('loss.name=max_margin', 'loss.margin=0.2'), 'loss.margin is 0.2, but'),
    (('loss.name=infonec',), "Did you mean 'infonce'.*'mil_nce', 'sigmoid'"),
    (('loss.name=mil_nce', 'train_data.candidates=3'), 'clips_per_example 0'),
    (
      (
        *('loss.name=mil_nce', 'train_data.candidates=3'),
        *('train_data.clips_per_example=8', 'train_data.min_time=0.0'),
      ),
      'clips_per_example 8',
    ),
    (
      (
        *('loss.name=mil_nce', 'train_data.candidates=2'),
        *('train_data.clips_per_example=8', 'train_data.min_time=3.0'),
      ),
      'min_time 3.0',
    ),
  ],
)
def test_choices_that_do_not_fit(options, message, monkeypatch):
  monkeypatch.chdir(ROOT)
  options = [f'--config.{option}' for option in options]
  with pytest.raises(UserError, match=message):
    main.read_arguments(['main.py', '--config=configs/stamps.py', *options])


def test_an_option_that_only_a_config_can_misspell():
  config = read_config(f'{ROOT}/configs/stamps.py').unlock()
  config.loss.max_margin.margn = 0.2
  with pytest.raises(ConfigError, match=r"'margn'.*Expected one of .*diagonal"):
    config_checks.check(config)


def test_the_config_has_every_option_with_its_default():
  loss = read_config(f'{ROOT}/configs/avlnet.py').loss.to_dict()
  for name, options in loss_options.OPTIONS.items():
    assert loss.pop(name, {}) == options
  assert loss == {
    'pairs': (('audio', 'video'),),
    'name': 'mms',
    'margin': loss_options.MARGIN,
  }
