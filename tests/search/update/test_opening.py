"""Opening an index: which is opened, which is refused, how it is rebuilt."""

import dataclasses
import re
import shlex
import shutil

import numpy as np
import pytest

import main
from avl_jax import trained_model
from avl_jax.errors import UserError
from avl_jax.files import InUseError
from avl_jax.search.store import journal
from avl_jax.search.store.index import Index
from avl_jax.search.update import description, opening, provenance
from tests.helpers import media, own_folder, small_run
from tests.helpers.search.contents import KINDS, assert_same, contents
from tests.search.conftest import make_run


@pytest.fixture(scope='module')
def other_run(tmp_path_factory):
  """Workdir of another model."""
  return make_run(tmp_path_factory.mktemp('other'), seed=4)


def test_another_model_is_refused_with_the_command_that_rebuilds(
  make_index, good_media, index_dir, other_run
):
  before = contents(index_dir)
  with pytest.raises(UserError, match=r'model: .* here, .* there') as error:
    make_index(good_media, index_dir, workdir=other_run)
  assert_same(contents(index_dir)['long.mp4'], before['long.mp4'])
  (command,) = re.findall(r'\n {2}(python .*)\n', str(error.value))
  small_run.Extractor.calls.clear()
  with Index.open(index_dir) as reader:
    asked = reader.vectors('video', reader.rows_of('long.mp4'))
    main.main([*shlex.split(command)[1:], '--config.compilation_cache='])
    # Nothing is decoded, and whoever had the old index open still has it.
    assert small_run.Extractor.calls == []
    rows = reader.rows_of('long.mp4')
    np.testing.assert_array_equal(reader.vectors('video', rows), asked)
    assert reader.refresh()
  after = contents(index_dir)
  assert after.keys() == before.keys()
  for path, (_, spans, held) in after.items():
    assert spans == before[path][1]
    for name, vectors in held.items():
      assert vectors.shape == before[path][2][name].shape
      assert not len(vectors) or np.abs(vectors - before[path][2][name]).max()
  assert not (index_dir / opening.REBUILT).exists()
  assert make_index(good_media, index_dir, workdir=other_run) == []


@pytest.mark.parametrize(
  ('option', 'says'),
  [
    ('step=2.5', 'step: 5.0 here, 2.5 there'),
    ('window=5.0', 'window: 10.0 here, 5.0 there'),
    ('dtype=float16', 'dtype: float32 here, float16 there'),
    ("names=('video',)", 'names: .* here, .* there'),
  ],
)
def test_other_windows_are_refused_and_made_anew(
  option, says, make_index, good_media, index_dir
):
  option = f'--config.search.{option}'
  with pytest.raises(UserError, match=says):
    make_index(good_media, index_dir, option)
  rebuild = '--config.search.rebuild=True'
  assert make_index(good_media, index_dir, option, rebuild) == []
  assert make_index(good_media, index_dir, option) == []
  assert contents(index_dir).keys() == KINDS.keys()


def test_an_interrupted_rebuild_goes_on(
  make_index, good_media, index_dir, monkeypatch
):
  arguments = ('--config.search.step=4.0', '--config.search.rebuild=True')
  before, add, added = contents(index_dir), Index.add, []

  def killed(self, file, *args):
    if len(added) == 2:
      raise KeyboardInterrupt
    added.append(file.path)
    add(self, file, *args)

  with monkeypatch.context() as patch:
    patch.setattr(Index, 'add', killed)
    with pytest.raises(KeyboardInterrupt):
      make_index(good_media, index_dir, *arguments)
  for path, expected in contents(index_dir).items():
    assert_same(expected, before[path])
  left = []
  monkeypatch.setattr(
    Index, 'add', lambda *args: (left.append(args[1].path), add(*args))
  )
  assert make_index(good_media, index_dir, *arguments) == []
  assert {*added, *left} == {*KINDS}
  assert len(left) == len(KINDS) - 2
  assert contents(index_dir)['sound.flac'][1][1][0] == 4


@pytest.mark.parametrize('moment', ['before', 'between', 'after'])
def test_killed_while_the_new_index_takes_the_place_of_the_old_one(
  moment, make_index, media_dir, index_dir, monkeypatch
):
  rebuild = ('--config.search.step=4.0', '--config.search.rebuild=True')
  replace = journal.replace

  def kill(folder, *lines, before=lambda: None):
    if folder != index_dir:
      return replace(folder, *lines)
    if moment == 'before':
      raise KeyboardInterrupt

    def end():
      before()
      raise KeyboardInterrupt

    replace(folder, *lines, before=before if moment == 'after' else end)
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(journal, 'replace', kill)
    with pytest.raises(KeyboardInterrupt):
      make_index(media_dir, index_dir, *rebuild)
  step = 4 if moment == 'after' else 5
  assert contents(index_dir)['long.mp4'][1][1] == (step, step + 10)
  media.write(media_dir / 'new.mp4', own_folder.tone(9, 3), seconds=3)
  now = f'--config.search.step={step}.0'
  assert make_index(media_dir, index_dir, now) == ['new.mp4']
  assert not (index_dir / opening.REBUILT).exists()
  assert make_index(media_dir, index_dir, *rebuild) == []
  assert contents(index_dir).keys() == {*KINDS, 'new.mp4'}


def test_a_damaged_index_names_the_command_and_is_made_anew(
  make_index, good_media, index_dir, good_index
):
  (journal,) = index_dir.glob('journal-*.jsonl')
  journal.write_bytes(journal.read_bytes().replace(b'long', b'lung'))
  with pytest.raises(UserError, match=r'damaged(.|\n)*search.rebuild=True'):
    make_index(good_media, index_dir)
  assert make_index(good_media, index_dir, '--config.search.rebuild=True') == []
  found, expected = contents(index_dir), contents(good_index)
  assert found.keys() == expected.keys()
  for path in found:
    assert_same(([], *found[path][1:]), ([], *expected[path][1:]))


def test_one_indexer_at_a_time(make_index, good_media, index_dir):
  for arguments in ((), ('--config.search.rebuild=True',)):
    with (
      Index.open(index_dir, write=True),
      pytest.raises(InUseError, match='in use by process'),
    ):
      make_index(good_media, index_dir, *arguments)
  assert contents(index_dir).keys() == KINDS.keys()


@pytest.mark.parametrize('what', ['missing', 'empty', 'other'])
def test_a_folder_that_is_not_that_of_the_index(
  what, make_index, media_dir, index_dir, tmp_path
):
  """The index stays, for example when a disk is not mounted."""
  before = contents(index_dir)
  if what == 'missing':
    folder, says = tmp_path / 'nowhere', 'There is no folder'
  elif what == 'empty':
    folder, says = tmp_path / 'bare', 'There is no video[^\n]*has 6 files and'
    folder.mkdir()
  else:
    folder, says = tmp_path / 'others', r'6 are not in .*, such as a\.mp4\.'
    folder.mkdir()
    small = (media_dir / 'sub/picture.png').read_bytes()
    for number in range(7):  # More than the index has.
      (folder / f'{number}.png').write_bytes(small + b' ' * (number + 1))
  with pytest.raises(UserError, match=says):
    make_index(folder, index_dir)
  for path, expected in contents(index_dir).items():
    assert_same(expected, before[path])


def test_a_part_of_the_folder_replaces_the_whole_only_when_asked(
  make_index, good_media, index_dir, run, tmp_path
):
  same_run = shutil.copytree(run, tmp_path / 'copy')
  facts = (index_dir / provenance.FILE).read_text()
  with pytest.raises(UserError, match=r'4 are not in [^\n]*search.rebuild'):
    make_index(good_media / 'sub', index_dir, workdir=same_run)
  assert (index_dir / provenance.FILE).read_text() == facts
  assert contents(index_dir).keys() == KINDS.keys()
  rebuild = '--config.search.rebuild=True'
  assert make_index(good_media / 'sub', index_dir, rebuild) == []
  assert contents(index_dir).keys() == {'b.mkv', 'picture.png'}


@pytest.mark.parametrize('left', [{'journal-1.jsonl'}, {'HEAD.tmp'}])
def test_a_beginning_that_was_interrupted_goes_on(
  left, make_index, good_media, index_dir, tmp_path, good_index
):
  """Before there is a HEAD, as by a full disk, or kill -9."""
  (index_dir / journal.HEAD).rename(index_dir / 'HEAD.tmp')
  for path in index_dir.iterdir():
    if path.name not in left | {'lock', 'extracted'}:
      path.unlink() if path.is_file() else shutil.rmtree(path)
  assert make_index(good_media, index_dir) == []
  assert contents(index_dir).keys() == contents(good_index).keys()


def test_a_folder_that_is_no_index(make_index, good_media, tmp_path):
  folder = tmp_path / 'documents'
  folder.mkdir()
  (folder / 'letter.txt').write_text('Dear')
  with pytest.raises(UserError, match=r"is no index.*'letter.txt'"):
    make_index(good_media, folder)
  assert [path.name for path in folder.iterdir()] == ['letter.txt']
  with pytest.raises(UserError, match='cannot be written'):
    make_index(good_media, folder / 'letter.txt')


@pytest.mark.parametrize(
  'name', ['emb.0001.float32', 'video.1.float32', 'journal-1.jsonl']
)
def test_files_of_others_that_are_called_alike(
  name, make_index, good_media, index_dir, tmp_path
):
  """They are neither taken for an index nor deleted."""
  folder = tmp_path / 'numbers'
  folder.mkdir()
  (folder / name).write_text('{"day": 1}')
  for option in ((), ('--config.search.rebuild=True',)):
    with pytest.raises(UserError, match=rf"is no index.*'{name}'"):
      make_index(good_media, folder, *option)
  with pytest.raises(UserError, match='holds no index'):
    Index.open(folder)
  assert [path.name for path in folder.iterdir()] == [name]
  names = (name.replace('-1', '-2025'), 'journal-007.jsonl')
  for mine in names:
    (index_dir / mine).write_text('mine')
  step = '--config.search.step=4.0'
  make_index(good_media, index_dir, step, '--config.search.rebuild=True')
  for mine in names:
    assert (index_dir / mine).read_text() == 'mine'


@pytest.mark.parametrize('key', ['media_dir', 'index'])
def test_folders_must_be_named(key, make_index, good_media, tmp_path):
  with pytest.raises(UserError, match=f'search.{key} is .*Set --config'):
    make_index(good_media, tmp_path, f'--config.search.{key}=')


def test_models_that_cannot_index(
  tmp_path, make_index, good_media, run, capsys
):
  trained = trained_model.load(run)
  model = trained.model.clone(image_blocks=(1,))
  with pytest.raises(UserError, match='encodes images itself'):
    description.networks(dataclasses.replace(trained, model=model))
  wide = make_run(tmp_path / 'wide', num_frames=512, visual_width=4096)
  with pytest.raises(UserError, match=r'4096 wide.*prepare\.resnet152=FILE'):
    make_index(good_media, tmp_path / 'index', workdir=wide)
  assert 'takes 5.12 s of sound' in capsys.readouterr().out
  names = {'visual_2d': 'resnet152:0123456789abcdef'}
  named = make_run(tmp_path / 'named', networks=names)
  with pytest.raises(UserError, match='takes visual_2d of the network resnet'):
    make_index(good_media, tmp_path / 'index', workdir=named)
  assert not (tmp_path / 'index').exists()
