"""Loading a run and embedding files and arrays with it."""

import numpy as np
import pytest
import soundfile
from PIL import Image

import avl_jax
import input_pipeline
from avl_jax import config as avl_jax_config
from avl_jax.config import read_config, write_config
from avl_jax.errors import UserError
from avl_jax.features import audio, clips, image_crops
from avl_jax.retrieval import embedding
from tests.helpers import media
from tests.helpers.small_run import make_run

WIDTH, FRAMES, DIM = 1280, 64, 16
RNG = np.random.default_rng(0)
WAVEFORMS = [  # shorter and longer than FRAMES
  (0.1 * RNG.standard_normal(n)).astype(np.float32) for n in (3_000, 20_000)
]
IMAGES = [
  RNG.integers(0, 256, (*size, 3), np.uint8) for size in ((60, 90), (224, 224))
]


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  return make_run(tmp_path_factory.mktemp('run'))[0]


@pytest.fixture(scope='module')
def trained(run):
  return avl_jax.load(run)


def embedded(trained, batch):
  return trained.model.apply(trained.variables, batch, train=False)


@pytest.mark.slow
def test_embeds_in_float32_unless_asked(tmp_path, trained):
  folder, _ = make_run(tmp_path, dtype='bfloat16')
  expected = avl_jax.embed(trained, audio=WAVEFORMS)['audio']
  found = {
    dtype: avl_jax.embed(avl_jax.load(folder, **options), audio=WAVEFORMS)[
      'audio'
    ]
    for dtype, options in (
      ('float32', {}),
      ('bfloat16', {'dtype': 'bfloat16'}),
      ('', {'dtype': ''}),
    )
  }
  np.testing.assert_allclose(found['float32'], expected, rtol=1e-6)
  np.testing.assert_array_equal(found[''], found['bfloat16'])
  assert np.abs(found['bfloat16'] - expected).max() > 1e-4


def test_recordings_are_embedded_as_clips(trained, tmp_path):
  path = tmp_path / 'sound.wav'
  soundfile.write(path, WAVEFORMS[0], 16_000, subtype='FLOAT')
  found = avl_jax.embed(trained, audio=[path, path.read_bytes(), *WAVEFORMS])
  assert found['audio'].shape == (4, DIM)
  assert found['audio'].dtype == np.float32
  assert list(found) == ['audio']
  waveforms = [WAVEFORMS[0], WAVEFORMS[0], *WAVEFORMS]
  for row, waveform in zip(found['audio'], waveforms, strict=True):
    example = {'spectrogram': audio.log_mel_spectrogram(waveform)}
    example['visual_2d'] = np.ones((1, WIDTH), np.float32)
    clip = clips.whole_clip(example, FRAMES)
    expected = embedded(trained, {k: x[None] for k, x in clip.items()})
    np.testing.assert_allclose(row, expected['audio'][0], rtol=1e-5, atol=1e-6)


def test_embeddings_are_those_of_an_evaluation(run, trained, stamps_records):
  config = read_config(str(run / 'config.json'))
  (batches,) = input_pipeline.eval_batches(
    **{
      **config.eval_data,
      'evaluations': {
        'human': {'datasets': ('stamps/human_fr',), 'splits': ('train',)}
      },
    },
    data_dir=stamps_records,
  ).values()
  embed = embedding.make_embed_evaluation(trained.model)
  expected = embed(trained.variables, batches, batches.num_examples).embeddings
  found = avl_jax.embed(
    trained,
    audio=[item.waveform for item in batches.media],
    image=[item.image for item in batches.media],
  )
  assert len(expected['audio']) > 4
  np.testing.assert_allclose(found['video'], expected['video'], atol=1e-4)
  # The records keep the spectrogram in float16, and the sound in 16 bits.
  scale = np.abs(expected['audio']).max()
  np.testing.assert_allclose(
    found['audio'], expected['audio'], atol=5e-3 * scale
  )
  distances = np.linalg.norm(
    found['audio'][:, None] - expected['audio'][None], axis=-1
  )
  np.testing.assert_array_equal(distances.argmin(1), range(len(distances)))


def test_images_from_files_and_arrays(trained, tmp_path):
  path = tmp_path / 'picture.png'
  Image.fromarray(IMAGES[0]).save(path)
  found = avl_jax.embed(trained, image=[path, *IMAGES])['video']
  assert found.shape == (3, DIM)
  np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-6)
  assert np.abs(found[1] - found[2]).max() > 1e-3
  one = avl_jax.embed(trained, image=path)['video']
  np.testing.assert_allclose(one, found[:1], rtol=1e-5, atol=1e-6)


def test_more_than_a_batch_keeps_its_order(trained, tmp_path):
  images = [np.full((8, 8, 3), 7 * i, np.uint8) for i in range(35)]
  found = avl_jax.embed(trained, image=images)['video']
  assert found.shape == (35, DIM)
  for i in (0, 31, 34):
    path = tmp_path / f'{i}.png'
    Image.fromarray(images[i]).save(path)
    one = avl_jax.embed(trained, image=path.read_bytes())['video']
    np.testing.assert_allclose(one, found[i : i + 1], rtol=1e-4, atol=1e-5)
  assert len(np.unique(found.round(4), axis=0)) == 35
  # The sizes of earlier images do not pad a recording.
  audio_alone = avl_jax.embed(trained, audio=WAVEFORMS[0])['audio']
  assert audio_alone.shape == (1, DIM)


def test_a_video_is_its_frames(trained, tmp_path):
  path = tmp_path / 'clip.mp4'
  media.write(path, None, seconds=3)
  from_file = avl_jax.embed(trained, video=path)['video']
  frames = np.stack([IMAGES[1], IMAGES[1]])
  from_frames = avl_jax.embed(trained, video=[frames, frames[:1]])['video']
  from_image = avl_jax.embed(trained, image=IMAGES[1])['video']
  assert from_file.shape == (1, DIM)
  assert np.abs(from_file - from_image).max() > 1e-3
  for row in from_frames:  # The maximum over equal frames is that of one.
    np.testing.assert_allclose(row, from_image[0], rtol=1e-5, atol=1e-6)


def test_texts_of_a_fused_model(tmp_path):
  run, config = make_run(tmp_path, word_dim=2, fused=True)
  (tmp_path / 'fr.vec').write_text('un 1 0.5\nchien -2 3\n')
  config.words.vectors = str(tmp_path / 'fr.vec')
  write_config(config, run)
  trained = avl_jax.load(run)
  found = avl_jax.embed(
    trained, audio=WAVEFORMS, text=['un chien inconnu', 'un']
  )
  assert {k: x.shape for k, x in found.items()} == dict.fromkeys(
    ('audio', 'text', 'audio_text'), (2, DIM)
  )
  words = np.zeros((1, config.words.max_words, 2), np.float32)
  words[0, :2] = [[1, 0.5], [-2, 3]]
  expected = embedded(trained, {'words': words})['text'][0]
  np.testing.assert_allclose(found['text'][0], expected, rtol=1e-5, atol=1e-6)
  with pytest.raises(UserError, match='2 recordings and 1 texts'):
    avl_jax.embed(trained, audio=WAVEFORMS, text='un')


@pytest.mark.parametrize(
  ('inputs', 'message'),
  [
    ({}, 'nothing to embed'),
    ({'audio': []}, 'list is empty'),
    ({'image': IMAGES, 'video': 'x.mp4'}, 'one at a time'),
    ({'audio': 'nowhere.wav'}, 'nowhere.wav'),
    ({'audio': np.zeros((2, 9), np.float32)}, r'float32 \(2, 9\)'),
    ({'audio': np.zeros(9, np.int16)}, 'divide 16-bit'),
    ({'audio': np.full(9, np.nan)}, 'NaN'),
    ({'audio': np.full(9, 1e300)}, 'infinite'),
    ({'audio': np.zeros(900)}, 'peak'),
    ({'image': np.zeros((0, 0, 3), np.uint8)}, r'\(0, 0, 3\)'),
    ({'text': b'un chien'}, 'Expected str'),
    ({'image': np.zeros((4, 4), np.uint8)}, r'\[H, W, 3\]'),
    ({'video': IMAGES[0]}, 'one frame a second'),
    ({'video': b'content'}, 'path of its file'),
    ({'text': 'un chien'}, 'takes no text'),
  ],
)
def test_errors_name_what_was_expected(trained, inputs, message):
  with pytest.raises(UserError, match=message):
    avl_jax.embed(trained, **inputs)


def test_models_of_other_networks_need_their_weights(tmp_path):
  run, _ = make_run(tmp_path, visual_width=4096)
  with pytest.raises(UserError, match=r'4096 wide.*resnet152=FILE'):
    avl_jax.embed(avl_jax.load(run), image=IMAGES[0])
  trained = avl_jax.load(run, resnet152='efficientnet_lite0')
  with pytest.raises(UserError, match=r'the networks make 1280 \+ 0'):
    avl_jax.embed(trained, image=IMAGES[0])


def test_a_model_with_an_image_encoder_takes_crops(tmp_path):
  run, _ = make_run(tmp_path, visual_width=2048, image_blocks=(1,))
  trained = avl_jax.load(run)
  found = avl_jax.embed(trained, image=IMAGES)['video']
  crops = np.stack([image_crops.centre_crop(image) for image in IMAGES])
  expected = embedded(trained, {'image': crops})['video']
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
  assert np.abs(found[0] - found[1]).max() > 1e-4
  with pytest.raises(UserError, match='takes images, not videos'):
    avl_jax.embed(trained, video='clip.mp4')


def test_loads_where_there_are_no_configs(tmp_path, monkeypatch):
  """As in an installed package."""
  run, _ = make_run(tmp_path / 'run')
  monkeypatch.setattr(avl_jax_config, 'ROOT', tmp_path)
  found = avl_jax.embed(avl_jax.load(run), audio=WAVEFORMS[0])
  assert found['audio'].shape == (1, DIM)


def test_a_run_without_its_config(tmp_path):
  run, _ = make_run(tmp_path)
  (run / 'config.json').unlink()
  with pytest.raises(UserError, match='no config'):
    avl_jax.load(run)
