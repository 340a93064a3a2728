"""Questions of every kind: in files, from standard input, in memory."""

import io
import types

import jax
import numpy as np
import pytest
import soundfile

import avl_jax
from avl_jax.errors import ConfigError, UserError
from avl_jax.features import (
  EmptyMediaError,
  MissingError,
  RefusedError,
  audio,
  pauses,
  video,
)
from avl_jax.models.avlnet import AVLnet
from avl_jax.search.query import question_files, questions
from avl_jax.trained_model import TrainedModel
from tests.helpers.search.asked import best, first

pytestmark = pytest.mark.usefixtures('networks')


@pytest.mark.parametrize(
  'kind', ['stdin', 'bytes', 'array', 'stereo', 'vector']
)
def test_sound_may_have_no_file(kind, searcher, question, monkeypatch):
  expected = searcher.search(question)
  waveform, rate = soundfile.read(question, dtype='float32')
  options, query = {}, question.read_bytes()
  if kind == 'stdin':
    stdin = types.SimpleNamespace(buffer=io.BytesIO(query))
    monkeypatch.setattr('sys.stdin', stdin)
    query = '-'
  elif kind == 'array':
    query, options = (waveform * 2**15).astype(np.int16), {'rate': rate}
  elif kind == 'stereo':
    query, options = np.stack([0 * waveform, 2 * waveform], 1), {'rate': rate}
  elif kind == 'vector':
    query = avl_jax.embed(searcher.trained, audio=question)['audio'][0]
  found = searcher.search(query, **options)
  assert [item.path for item in found.items] == [
    item.path for item in expected.items
  ]
  np.testing.assert_allclose(
    [item.score for item in found.items],
    [item.score for item in expected.items],
    rtol=1e-3,
  )
  assert found.branch == ('' if kind == 'vector' else 'audio')


def test_arrays_and_options_that_cannot_be_asked(searcher):
  with pytest.raises(UserError, match=r'has 48,000 numbers.*rate=16_000'):
    searcher.search(np.zeros(48_000, np.float32))
  vector = np.ones(searcher.index.description.dim, np.float32)
  for options in ({'count': 0}, {'threshold': 5.0}):
    with pytest.raises(ConfigError, match='Expected at least one answer'):
      searcher.search(vector, **options)
  with pytest.raises(UserError, match='which are read as sound'):
    searcher.search(b'RIFF', part='picture')


def test_pauses_of_a_recording_are_left_out(searcher, question, monkeypatch):
  waveform, rate = soundfile.read(question, dtype='float32')
  silence = np.zeros(rate, np.float32)
  around, content = np.concatenate([silence, waveform, silence]), io.BytesIO()
  soundfile.write(content, around, rate, format='wav', subtype='FLOAT')
  content.seek(0)
  stdin = types.SimpleNamespace(buffer=content)
  monkeypatch.setattr('sys.stdin', stdin)
  found = searcher.question('-').vector
  sound = pauses.without_pauses(around)
  assert len(sound) < len(waveform) + rate // 2
  expected = avl_jax.embed(searcher.trained, audio=sound)['audio'][0]
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
  # A file is asked as it is.
  assert np.abs(searcher.question(content.getvalue()).vector - found).max() > 1


def test_a_stream_of_arecord_is_read(searcher, question):
  """Its header claims 2 GB, because its length was not known."""
  content = bytearray(_pcm(question))
  place = content.index(b'data') + 4
  content[4:8] = (2**31 + 36).to_bytes(4, 'little')
  content[place : place + 4] = (2**31 - 1).to_bytes(4, 'little')
  found = searcher.search(bytes(content))
  expected = searcher.search(question)
  assert first(found)[:2] == first(expected)[:2]
  assert first(found)[2] == pytest.approx(first(expected)[2], rel=1e-3)


def _pcm(path):
  waveform, rate = soundfile.read(path)
  buffer = io.BytesIO()
  soundfile.write(buffer, waveform, rate, 'PCM_16', format='WAV')
  return buffer.getvalue()


def test_a_clip_has_the_vector_of_its_window(searcher, good_media):
  """So a clip of an indexed video asks as the index holds it."""
  index = searcher.index
  for row in index.rows_of('long.mp4')[:2]:
    window = index.window(int(row))
    clip = f'{good_media / "long.mp4"}@{window.start:g}-{window.end:g}'
    found = question_files.FileQuestions(searcher.trained, searcher._decoder)(
      clip
    )
    (expected,) = index.vectors('video', [row])
    np.testing.assert_allclose(found.vector, expected, rtol=1e-4, atol=1e-5)
    assert (found.name, found.branch) == (clip, 'video')


def test_files_are_decoded_in_the_child(
  searcher, question, good_media, monkeypatch
):
  def fail(*_, **__):
    raise AssertionError('decoded in this process')

  for module, name in ((audio, 'read_audio'), (video, 'frames')):
    monkeypatch.setattr(module, name, fail)
  assert searcher.search(question).branch == 'audio'
  assert searcher.search(question.read_bytes()).branch == 'audio'
  assert searcher.search(f'{good_media / "a.mp4"}@0-2').branch == 'video'


def test_words_are_asked_where_the_model_reads(tmp_path):
  vectors = tmp_path / 'vectors.txt'
  vectors.write_text('chat 1 0 0 1\nnoir 0 2 0 1\n')
  model = AVLnet(embed_dim=6, word_dim=4)
  words = np.zeros((1, 20, 4), np.float32)
  words[0, :2] = [[1, 0, 0, 1], [0, 2, 0, 1]]
  variables = model.init(jax.random.key(0), {'words': words}, train=False)
  trained = TrainedModel(model, variables, {}, 1, 20, str(vectors), None)
  found = questions.of_words(trained, 'Un chat noir')
  assert (found.name, found.branch) == ("'Un chat noir'", 'text')
  expected = model.apply(variables, {'words': words}, train=False)['text'][0]
  np.testing.assert_allclose(found.vector, expected, rtol=1e-5)
  with pytest.raises(UserError, match='none of the words'):
    questions.of_words(trained, 'un chien')


def test_pictures_ask_for_sound_and_videos_for_either(searcher, good_media):
  picture = good_media / 'sub/picture.png'
  vector = avl_jax.embed(searcher.trained, image=picture)['video'][0]
  found = searcher.search(picture, answers='audio')
  assert first(found) == best(searcher, 'audio', vector)
  assert found.among == 'audio'
  video = good_media / 'a.mp4'
  found = searcher.search(video, part='sound', answers='audio')
  vector = avl_jax.embed(searcher.trained, audio=video)['audio'][0]
  assert found.branch == 'audio'
  assert first(found) == best(searcher, 'audio', vector)
  assert found.items[0].curve is None or 'audio' in found.among
  assert searcher.search(video).branch == 'video'


def test_what_cannot_be_asked(
  searcher, question, good_media, tmp_path, monkeypatch
):
  silence = tmp_path / 'silence.wav'
  soundfile.write(silence, np.zeros(16_000), 16_000)
  odd = tmp_path / 'a@1-2'
  odd.write_bytes(b'no sound')
  for query, options, error, text in (
    (silence, {}, UserError, 'silence.wav: The peak'),
    (tmp_path / 'gone.wav', {}, MissingError, 'gone.wav'),
    (odd, {}, UserError, 'a@1-2'),
    ('a.mp4@5-3', {}, UserError, 'names no span'),
    ('a.mp4@1.2.3-4', {}, UserError, 'names no span'),
    (f'{good_media / "a.mp4"}@50-60', {}, UserError, 'a.mp4'),
    (good_media / 'mute.mp4', {'part': 'sound'}, UserError, 'mute.mp4'),
    (good_media / 'sub/picture.png', {'part': 'sound'}, UserError, 'picture'),
    (
      good_media / 'sound.flac',
      {'part': 'picture'},
      UserError,
      'has no suffix of',
    ),
    (None, {}, UserError, 'no question'),
    (b'no sound', {}, UserError, '^The sound: '),
    (question, {'part': 'both'}, ConfigError, 'part is'),
    (None, {'words': 'un chat'}, UserError, 'takes no text'),
    (silence, {'words': 'un chat'}, UserError, 'two'),
    (np.zeros((2, 3)), {}, UserError, 'Expected a vector'),
    (np.full(16, np.nan), {}, UserError, 'Expected a vector'),
    (np.ones(15, np.float32), {}, UserError, 'has 15 numbers.* have 16'),
    (np.zeros((2, 3, 4)), {'rate': 16_000}, UserError, 'Expected .samples'),
    (np.zeros(99), {'rate': 3}, UserError, 'rate is 3'),
    (question, {'answers': 'sum'}, ConfigError, "no vectors 'sum'"),
  ):
    with pytest.raises(error, match=text):
      searcher.search(query, **options)
  for content, error in ((b'', EmptyMediaError), (b'12345', RefusedError)):
    monkeypatch.setattr(question_files, 'MOST_BYTES', 4)
    stdin = types.SimpleNamespace(buffer=io.BytesIO(content))
    monkeypatch.setattr('sys.stdin', stdin)
    with pytest.raises(error, match='Standard input'):
      searcher.search('-')
