"""Manifests of own videos: whole videos with captions, clips, and errors."""

import csv

import numpy as np
import pytest

from avl_jax.errors import UserError
from avl_jax.features import audio
from input_pipeline.datasets.own_videos import manifest, survey
from input_pipeline.records import reader
from tests.helpers import own_folder


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('own')
  own_folder.write_good(folder)
  return folder


def _write(folder, name, text):
  path = folder / name
  path.write_text(text, encoding='utf-8')
  return path


def _read(data_dir, kind, *names):
  data = reader.Records((f'own_videos/{kind}',), names, str(data_dir))
  return {e['id'].decode(): e for e in data.read(range(len(data)))}


def test_whole_videos_with_captions_and_named_splits(folder, tmp_path):
  path = _write(
    folder,
    'whole.csv',
    'id,path,split,language,caption,date\n'
    'Ü,été/東京 1.mp4,train,ja,"one, two",2024-03\n'
    'long,long.mp4,test,,,\n'
    'A,a.mp4,val,fr,,2025\n'
    'lost,nowhere.mp4,train,,,2023-01-31\n'
    'away,../outside.mp4,train,,,\n',
  )
  _write(
    folder,
    'captions.csv',
    'id,start,end,caption\nlong,11,13,later\nlong,1,2,first\nlong,8,12.5,both\n'
    'nobody,0,1,x\n',
  )
  own_folder.prepare(path, tmp_path)
  (example,) = _read(tmp_path, 'untrimmed', 'train').values()
  assert example['id'].decode() == 'Ü'
  assert example['language'] == b'ja'
  assert [text.decode() for text in example['captions']] == ['one, two']
  assert example['caption_ends'] == pytest.approx([4], abs=0.2)
  windows = _read(tmp_path, 'untrimmed', 'test')
  texts = {i: [t.decode() for t in e['captions']] for i, e in windows.items()}
  assert texts == {
    'long@0': ['first'],
    'long@10': ['both later'],
    'long@20': [],
  }
  assert list(_read(tmp_path, 'untrimmed', 'val')) == ['A@0']
  table = own_folder.records(tmp_path) / 'availability.csv'
  with table.open(newline='', encoding='utf-8') as file:
    rows = {row['id']: row for row in csv.DictReader(file)}
  assert (rows['lost']['date'], rows['lost']['available']) == (
    '2023-01-31',
    'no',
  )
  assert rows['lost']['status'] == 'missing'
  assert rows['away']['status'] == 'unsafe name'
  assert rows['A']['available'] == 'yes'
  assert rows['A']['date'] == '2025'


def test_clips(folder, tmp_path):
  path = _write(
    folder,
    'clips.csv',
    'id,path,start,end,caption\n'
    'one,long.mp4,2,5.5,stir\n'
    'two,long.mp4,20,30,\n'
    'beyond,long.mp4,40,45,\n'
    'three,a.mkv,0,2,cut\n'
    'four,sub/a.mp4,1,4,fry\n'
    'five,a.mp4,0,3,\n',
  )
  extractor = own_folder.prepare(path, tmp_path, kind='clips')
  assert len(extractor.calls) == 5
  found = {
    split: _read(tmp_path, 'clips', split) for split in ('train', 'val', 'test')
  }
  together = {i: e for examples in found.values() for i, e in examples.items()}
  assert together.keys() == {'one', 'two', 'three', 'four', 'five'}
  whole = audio.read_audio(folder / 'long.mp4')
  piece = audio.log_mel_spectrogram(whole[32_000:88_000])
  np.testing.assert_allclose(together['one']['spectrogram'], piece, atol=0.1)
  assert (together['one']['start'], together['one']['end']) == (2, 5.5)
  assert [text.decode() for text in together['one']['captions']] == ['stir']
  # Clips of one video are in one split.
  (split,) = {s for s, e in found.items() if {'one', 'two'} & e.keys()}
  assert {'one', 'two'} <= found[split].keys()
  assert not own_folder.prepare(path, tmp_path, kind='clips').calls


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('id\nx\n', 'line 1: Expected the columns id, path, and perhaps start'),
    ('id,path,captions\nx,a.mp4,c\n', 'line 1: Expected the columns'),
    ('id,path,id\nx,a.mp4,y\n', 'line 1: Expected the columns'),
    ('', 'line 1: Expected the columns'),
    ('id,path\n', 'Expected a line below the header'),
    ('id,path\nx,a.mp4\n\ny,b.mp4,c\n', 'line 4: Expected 2 fields, got 3'),
    ('id,path\n,a.mp4\n', 'line 2: Expected a id'),
    ('id,path\nx,a.mp4\nx,b.mp4\n', "line 3: 'x' is also in line 2"),
    ('id,path\nx,a.mp4\ny,a.mp4\n', "line 3: 'path a.mp4' is also in line 2"),
    ('id,path,start,end\nx,a.mp4,1,\n', "line 2: Expected an end.*'1' and ''"),
    ('id,path,start,end\nx,a.mp4,5,5\n', 'line 2: Expected an end after'),
    ('id,path,start,end\nx,a.mp4,-1,5\n', 'line 2: start: Expected a number'),
    ('id,path,start,end\nx,a.mp4,0,inf\n', 'line 2: end: Expected a number'),
    (
      'id,path,start,end\nx,a.mp4,0,5\ny,b.mp4,,\n',
      'line 3: Expected a start and an end in every line, or in none',
    ),
    ('id,path,split\nx,a.mp4,valid\n', 'line 2: Expected a split of train'),
    ('id,path,date\nx,a.mp4,yesterday\n', "line 2: .*got 'yesterday'"),
  ],
)
def test_a_malformed_manifest_names_the_line(tmp_path, text, message):
  path = _write(tmp_path, 'list.csv', text)
  with pytest.raises(UserError, match=message) as error:
    survey.read_list(str(path))
  assert str(error.value).startswith(f'{path}: ')


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('id,start,end\nx,1,2\n', 'line 1: Expected the columns'),
    ('id,start,end,caption\nx,2,1,c\n', 'line 2: Expected an end after'),
    ('id,start,end,caption\nx,a,1,c\n', 'line 2: start: Expected a number'),
  ],
)
def test_malformed_captions_name_the_line(tmp_path, text, message):
  with pytest.raises(UserError, match=message):
    manifest.read_captions(_write(tmp_path, 'captions.csv', text))


def test_clips_of_one_video_in_two_splits_are_refused(folder, tmp_path):
  path = _write(
    folder,
    'two.csv',
    'id,path,start,end,split\nx,a.mp4,0,1,train\ny,a.mp4,1,2,test\n',
  )
  with pytest.raises(UserError, match=r"a\.mp4 is in the splits 'train' and"):
    own_folder.prepare(path, tmp_path, kind='clips')


def test_each_list_has_its_config(folder, tmp_path):
  path = _write(folder, 'c.csv', 'id,path,start,end\nx,a.mp4,0,1\n')
  with pytest.raises(UserError, match=r'own_videos\.py:clips'):
    own_folder.prepare(path, tmp_path)
  with pytest.raises(UserError, match='names no clips'):
    own_folder.prepare(folder, tmp_path, kind='clips')


def test_a_manifest_elsewhere_names_its_folder(folder, tmp_path):
  path = _write(tmp_path, 'list.csv', 'id,path\nx,a.mp4\n')
  root, (item,) = survey.read_list(f'{path}:{folder}')
  assert root == folder
  assert item.path == 'a.mp4'


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('nothing', 'There is no folder'),
    ('nothing.csv', 'There is no manifest'),
    ('empty', 'There is no video in'),
  ],
)
def test_what_is_not_there(tmp_path, name, message):
  (tmp_path / 'empty').mkdir()
  with pytest.raises(UserError, match=message):
    survey.read_list(str(tmp_path / name))
