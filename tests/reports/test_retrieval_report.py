"""Reports of evaluations: tables, curves, example queries."""

import dataclasses
import html.parser
import io
import re

import matplotlib.image
import numpy as np
import pytest
import soundfile

from avl_jax.features.media import Media
from avl_jax.reports import (
  comparison,
  examples,
  figures,
  page,
  retrieval_report,
  style,
)
from avl_jax.retrieval import evaluation
from avl_jax.retrieval.result import Result
from avl_jax.retrieval.task import Task
from avl_jax.train import timing

CAPTIONS = (
  *('<script>alert("1")</script> | a*b*', 'Ένα κέρμα ($.01) των ΗΠΑ ($1).'),
  *('Кон.', '猫', '', 'Una torre de guaita. ' * 20, 'x' * 300, 'Un lapin.'),
)
N = len(CAPTIONS)
RANKS = {'audio': (0, 0, 0, 1, 4, 5, 6, 7), 'video': (0, 3, 0, 1, 4, 2, 1, 1)}


def _item(index):
  rng = np.random.default_rng(index)
  return Media(
    id=f'stamp/{index}',
    caption=CAPTIONS[index],
    image=rng.integers(0, 255, (30 + 10 * index, 60, 3), np.uint8),
    waveform=rng.normal(0, 0.1, 1600 * index).astype(np.float32),
  )


def _retrieval(query, gallery):
  ranks = np.array(RANKS[query])
  top = []
  for index, rank in enumerate(ranks):
    others = [i for i in range(N) if i != index]
    top.append([*others[:rank], index, *others[rank:]][:5])
  task = Task(query, gallery)
  result = Result(
    evaluation='narrated',
    task=task,
    subset='unseen_words',
    queries=N,
    gallery=N,
    recall_at_1=0.3751,
    recall_at_5=0.6252,
    recall_at_10=1.0,
    chance_recall_at_10=0.9876,
    median_rank=3.5,
    mean_rank=float(np.mean(ranks + 1)),
  )
  return evaluation.Retrieval(
    evaluation='narrated',
    task=task,
    ids=tuple(f'stamp/{i}' for i in range(N)),
    subsets=('unseen_words',) * N,
    ranks=ranks,
    top=np.array(top),
    results=(result,),
  )


RETRIEVALS = (_retrieval('audio', 'video'), _retrieval('video', 'audio'))
HISTORY = (
  *({'step': step, 'loss': 5.0 / step, 'mode': 'train'} for step in (1, 2, 4)),
  {'step': 4, 'narrated/unseen_words/audio_to_video/R@10': 0.5},
  {'step': 4, 'loss': 1.125},  # a resumed run writes the step again
  {'step': 4, 'human/validation/video_to_audio/R@10': 0.25},
)


def _write(directory, items=None, history=HISTORY, retrievals=RETRIEVALS):
  items = [_item(i) for i in range(N)] if items is None else items
  notes = {'checkpoint': 'runs/<a>', 'step': '4'}
  retrieval_report.write(
    directory, 'Stamps & co', notes, retrievals, {'narrated': items}, history
  )


def _files(directory):
  paths = sorted(path for path in directory.rglob('*') if path.is_file())
  return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


class _Parser(html.parser.HTMLParser):
  """Collects the tags and the text of a page."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.text = [], ''
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))

  def handle_data(self, data):
    self.text += data


@pytest.fixture(scope='module')
def files(tmp_path_factory):
  directory = tmp_path_factory.mktemp('report')
  _write(directory)
  return _files(directory)


@pytest.fixture(scope='module')
def parsed(files):
  return _Parser(files['report.html'].decode())


def test_ranks_of_the_groups():
  rng = np.random.default_rng(0)
  ranks, ids = rng.integers(0, 12, 300), [f'id{i}' for i in range(300)]
  groups = examples.choose_examples(ranks, ids, per_group=7)
  for group, (low, end) in zip(groups, ((0, 1), (1, 5), (5, 99)), strict=True):
    members = [i for i in range(300) if low <= ranks[i] < end]
    assert group.size == len(members)
    assert len(set(group.examples)) == 7
    assert set(group.examples) <= set(members)
  assert sum(group.size for group in groups) == 300


def test_choice_depends_on_ids_alone():
  ids = [f'id{i}' for i in range(50)]
  order = np.random.default_rng(1).permutation(50)
  (first, *_) = examples.choose_examples(np.zeros(50), ids)
  (again, *_) = examples.choose_examples(np.zeros(50), [ids[i] for i in order])
  assert [ids[i] for i in first.examples] == [
    ids[order[i]] for i in again.examples
  ]
  assert max(first.examples) > 10  # not the first four


def test_examples_need_one_rank_per_query():
  with pytest.raises(ValueError, match='3 ranks of 2 queries'):
    examples.choose_examples(np.zeros(3), ['a', 'b'])


def test_fewer_queries_than_examples_and_empty_groups():
  groups = examples.choose_examples(np.array([0, 9]), ['a', 'b'], per_group=4)
  assert [group.examples for group in groups] == [(0,), (), (1,)]
  assert [group.size for group in groups] == [1, 0, 1]


def test_table_of_scores(files, parsed):
  numbers = '8 8 37.5 % 62.5 % 100.0 % 98.8 % 3.5 3.9'
  markdown = files['report.md'].decode()
  cells = f'{N} | {N} | 37.5 % | 62.5 % | 100.0 % | 98.8 % | 3.5'
  assert f'| audio → video | unseen\\_words | {cells} | 3.9 |' in markdown
  assert f'| video → audio | unseen\\_words | {cells} | 2.5 |' in markdown
  page_text = files['report.html'].decode()
  row = '</td><td class="number">'.join(
    numbers.replace(' %', '_%').split()
  ).replace('_%', ' %')
  assert f'{row}</td></tr>' in page_text
  assert 'runs/<a>' in parsed.text


def test_about_has_no_empty_rows(tmp_path):
  facts = {'checkpoint': 'x', 'recipe': '', 'initial': '', 'step': '4'}
  retrieval_report.write(tmp_path, 'title', facts, RETRIEVALS, {}, ())
  text = (tmp_path / 'report.md').read_text()
  assert '| checkpoint | x |' in text
  assert '| step | 4 |' in text
  assert 'recipe' not in text
  assert 'initial' not in text


@pytest.mark.parametrize(
  ('selector', 'header', 'late', 'width'),
  [
    (':is(.scores, .runs) tr', retrieval_report.HEADER, (4, 5), 320),
    ('.runs tr', comparison.HEADER, (5,), 360),
  ],
)
def test_scores_are_in_sight_on_a_phone(files, selector, header, late, width):
  """Sums of the style's widths: names and three recalls on a small screen."""
  text = files['report.html'].decode()
  assert '<meta name="viewport" content="width=device-width' in text
  assert '<table class="scores">' in text
  phone = style.STYLE.partition('@media (max-width: 640px)')[2]
  size = int(re.search(r'\.runs\) { font-size: (\d+)px', phone)[1])
  rule = phone.rpartition(f'  {selector} {{')[2].partition('}')[0]
  columns = re.search(r'columns: (.*) repeat\((\d+), (.*)em\)', rule)
  widths = [float(each.removesuffix('em')) for each in columns[1].split()]
  widths += int(columns[2]) * [float(columns[3])]
  assert len(widths) == len(header)
  for place in late:
    assert f':nth-child({place})' in phone
  order = [x for i, x in enumerate(header, 1) if i not in late]
  last = order.index('R@10')
  assert order[last - 2 : last] == ['R@1', 'R@5']
  assert size * sum(widths[: last + 1]) < width - 2 * 0.5 * 16


def test_group_sizes_and_ranks_are_stated(parsed):
  for line in (
    *('Correct match first: 3 of 8 queries (37.5 %)',),
    *('Correct match in the top 5, not first: 2 of 8 queries (25.0 %)',),
    *('Correct match not in the top 5: 3 of 8 queries (37.5 %)',),
    *('Correct match not in the top 5: 0 of 8 queries (0.0 %)No query is',),
    *('Correct match at rank 8 of 8 (unseen_words)', '✓ rank 8: Un lapin.'),
  ):
    assert line in parsed.text.replace('\n', '')


def test_captions_are_escaped(files, parsed):
  assert 'script' not in [tag for tag, _ in parsed.tags]
  for caption in CAPTIONS:
    assert caption in parsed.text
  assert any(CAPTIONS[0] in attrs.get('alt', '') for _, attrs in parsed.tags)
  markdown = files['report.md'].decode()
  assert '<' not in markdown
  assert r'&lt;script&gt;alert("1")&lt;/script&gt; \| a\*b\*' in markdown


def test_figures_and_sounds_are_written(files, parsed):
  pictures = [attrs['src'] for tag, attrs in parsed.tags if tag == 'img']
  sounds = [attrs['src'] for tag, attrs in parsed.tags if tag == 'audio']
  assert len(pictures) == 2 + 3 + 2 + 3 + 2 + 4
  assert set(files) == {'report.md', 'report.html', *pictures, *sounds}
  for path in pictures:
    pixels = matplotlib.image.imread(io.BytesIO(files[path]), format='png')
    assert pixels[..., :3].std() > 0.05
    assert f']({path})' in files['report.md'].decode()
  for path in set(sounds):
    waveform, rate = soundfile.read(io.BytesIO(files[path]))
    assert rate == 16000
    assert waveform.std() > 0.03


def test_curves_keep_the_last_row_of_a_step(parsed):
  alts = ' '.join(attrs.get('alt', '') for _, attrs in parsed.tags)
  assert 'Training loss from 5 at step 1 to 1.12 at step 4.' in alts
  assert 'narrated, unseen_words, audio → video: 50.0 % at step 4' in alts
  assert 'human, validation, video → audio: 25.0 % at step 4' in alts


def test_training_time_of_the_last_row_is_shown(tmp_path):
  rows = [
    {'step': step, 'seconds/total': 40.0 * step}
    | {f'seconds/{key}': 5.0 * step for key in timing.SECTIONS}
    for step in (1, 2)
  ]
  _write(tmp_path, history=(*HISTORY, *rows), retrievals=RETRIEVALS[1:])
  text = (tmp_path / 'report.md').read_text()
  assert '| Training time: 80 s | Seconds | Share |' in text
  assert text.count('| 10.0 | 12.5 % |') == len(timing.SECTIONS)


def test_only_the_correct_match_is_framed():
  def greens(correct):
    items = [_item(i) for i in (1, 2, 3)]
    png = figures.sheet_row(
      items[0], items[1:], Task('audio', 'video'), ('1', '2'), correct
    )
    pixels = matplotlib.image.imread(io.BytesIO(png), format='png')[..., :3]
    green = np.abs(pixels - np.array([0, 158, 115]) / 255).max(-1) < 0.02
    return [part.sum() for part in np.array_split(green, 3, axis=1)]

  assert greens((False, False)) == [0, 0, 0]
  query, first, second = greens((False, True))
  assert query == first == 0
  assert second > 1000


def test_same_bytes_again_no_curves_without_history(files, tmp_path):
  _write(tmp_path, history=(), retrievals=RETRIEVALS[1:])
  bare = _files(tmp_path)
  sheets = {name: bare[name] for name in bare if name.startswith('figures/')}
  assert len(sheets) > 8
  assert sheets.items() <= files.items()
  assert '## Training' not in bare['report.md'].decode()
  assert not any('loss' in name or 'recall' in name for name in bare)
  assert '62.5 %' in bare['report.md'].decode()


def test_new_report_replaces_the_old_one(tmp_path):
  retrieval_report.write(tmp_path, 'Old', {}, RETRIEVALS, {}, HISTORY[:1])
  assert len(_files(tmp_path)) == 3  # no media, no examples
  (tmp_path / 'figures/mine.png').write_bytes(b'not ours')
  figure = page.Figure(page.File('new.png', b'0' * 24), 'alt', 'caption')
  page.write(tmp_path, 'report', [page.Heading(1, 'New'), figure])
  assert sorted(_files(tmp_path)) == sorted(
    [figure.picture.path, 'figures/mine.png', 'report.html', 'report.md']
  )


def test_interrupted_report_leaves_the_old_one(tmp_path, monkeypatch):
  def blocks(content):
    picture = page.File('curve.png', content * 24)
    return [page.Heading(1, 'T'), page.Figure(picture, 'alt', 'caption')]

  page.write(tmp_path, 'report', blocks(b'a'))
  before = _files(tmp_path)

  def interrupt(source, target):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(page.os, 'replace', interrupt)
    with pytest.raises(KeyboardInterrupt):
      page.write(tmp_path, 'report', blocks(b'b'))
  assert before.items() <= _files(tmp_path).items()
  page.write(tmp_path, 'report', blocks(b'c'))
  assert (
    len(_files(tmp_path)) == 3
  )  # files of the interrupted write are removed


def test_media_must_be_those_of_the_ids(tmp_path):
  items = [_item(i) for i in range(N)]
  with pytest.raises(
    ValueError, match="media of 7 examples for evaluation 'narrated'"
  ):
    _write(tmp_path, items[1:], history=())
  with pytest.raises(ValueError, match='in the order of the ids'):
    _write(tmp_path, items[::-1], history=())
  assert not _files(tmp_path)


def test_galleries_of_videos_and_small_ones_are_named(tmp_path):
  (sentence,) = retrieval_report.galleries(RETRIEVALS, {})
  assert sentence.startswith('The gallery of narrated has 8 items. Under 100,')
  assert sentence.endswith('R@10 is 100.0 %, and one question is 12.5 %.')
  (sentence,) = retrieval_report.galleries(RETRIEVALS, {'narrated': 3})
  assert 'has 8 clips of 3 videos. Under 100' in sentence
  many = dataclasses.replace(RETRIEVALS[0].results[0], gallery=1234)
  large = (dataclasses.replace(RETRIEVALS[0], results=(many,)),)
  assert retrieval_report.galleries(large, {'narrated': 0}) == []
  assert retrieval_report.galleries(large, {'narrated': 1}) == [
    'The gallery of narrated has 1,234 clips of 1 video.'
  ]


def test_text_alone_is_written_in_its_cell():
  def inked(expression):
    png = figures.sheet_row(
      _item(1), [_item(2)], Task(expression, 'video'), ('1',), (False,)
    )
    pixels = matplotlib.image.imread(io.BytesIO(png), format='png')[..., :3]
    dark = pixels.max(-1) < 0.5
    inside = dark[dark.shape[0] // 4 : dark.shape[0] * 2 // 3]
    return inside[:, 20 : dark.shape[1] // 2 - 20].any(), dark.shape[0]

  (text, height), (_, taller) = inked('text'), inked('audio')
  assert text
  assert height < taller  # There is no caption below.
