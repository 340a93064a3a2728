"""The program from a folder of videos to a report, and on from there."""

import json

import pytest

import main
from avl_jax.backbones import feature_extractor
from avl_jax.checkpoints import loading
from avl_jax.errors import UserError
from tests.helpers import media, own_folder

SMALL = (
  '--config.num_steps=2',
  '--config.train_data.batch_size=2',
  '--config.train_data.clips_per_example=4',
  '--config.train_data.num_frames=64',
  '--config.eval_data.num_frames=64',
  '--config.train.eval_every=2',
  '--config.model.embed_dim=16',
  '--config.model.widths=(4, 4, 4, 4, 4)',
  '--config.compilation_cache=',
)


class Extractor(own_folder.Extractor):
  """Takes the place of the networks."""

  def __init__(self, *, resnet152, resnext101):
    super().__init__()
    assert (resnet152, resnext101) == ('efficientnet_lite0', '')


@pytest.fixture(scope='module')
def started(tmp_path_factory):
  """(media, records, workdir) of a run of two steps."""
  folder = tmp_path_factory.mktemp('own')
  own_folder.write_good(folder / 'media')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(feature_extractor, 'Extractor', Extractor)
    _run(folder, 'first', '--mode=prepare')
    assert not (folder / 'first').exists()
    _run(folder, 'first')
  return folder


def _run(folder, workdir, *arguments):
  main.main(
    [
      *('main.py', '--config=configs/own_videos.py'),
      f'--config.prepare.media_dir={folder}/media',
      f'--config.data_dir={folder}/data',
      f'--workdir={folder / workdir}',
      *(*SMALL, *arguments),
    ]
  )


@pytest.mark.slow
def test_the_report_names_the_gallery(started, capsys):
  record = json.loads((started / 'first/evaluation.json').read_text())
  assert record['facts']['networks'] == own_folder.NETWORKS
  sizes = {row['evaluation']: row['gallery'] for row in record['rows']}
  assert set(sizes) == {'validation', 'test'}
  page = (started / 'first/report.html').read_text()
  for name, size in sizes.items():
    clips = '1 clip' if size == 1 else f'{size} clips'
    sentence = f'The gallery of {name} has {clips} of 1 video. Under 100'
    assert sentence in page
  _run(started, 'first', '--mode=eval')
  assert 'The gallery of test has' in capsys.readouterr().out


def test_a_run_goes_on_from_one_begun_before_a_change(
  started, monkeypatch, capsys
):
  monkeypatch.setattr(feature_extractor, 'Extractor', Extractor)
  # Until its split is that of training.
  for number in range(9, 40):
    media.write(
      started / 'media/new.mp4', own_folder.tone(number, 3), seconds=3
    )
    _run(started, 'first', '--mode=prepare')
    table = (own_folder.records(started / 'data') / 'files.csv').read_text()
    if 'new.mp4,train' in table:
      break
  assert '1 added (new.mp4)' in capsys.readouterr().out
  with pytest.raises(UserError, match='on other data') as error:
    _run(started, 'first')
  assert 'examples: 3 in the checkpoint, 4 in this run' in str(error.value)
  command = f'--config.initial_workdir={started}/first --workdir=NEW'
  assert command in str(error.value)
  _run(started, 'second', f'--config.initial_workdir={started}/first')
  *_, facts = loading.load(started / 'second')
  assert facts['initial']
  assert facts['initial'] != facts['data']


def test_features_of_other_networks_are_refused(started):
  """By evaluation, and by a run that starts from the model."""
  path = own_folder.records(started / 'data') / 'networks.json'
  names = path.read_text()
  other = 'resnet152:0123456789abcdef'
  path.write_text(json.dumps({'visual_2d': other}))
  message = f'efficientnet_lite0. The records have {other}'
  keep = '--config.prepare.media_dir='
  try:
    for arguments in (
      ('first', '--mode=eval', keep),
      ('first', keep),
      ('third', keep, f'--config.initial_workdir={started}/first'),
    ):
      with pytest.raises(UserError, match=message):
        _run(started, *arguments)
  finally:
    path.write_text(names)
