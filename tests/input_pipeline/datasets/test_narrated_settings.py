"""Settings of narrated videos: types, limits, what is refused at once."""

import dataclasses

import pytest

import input_pipeline
from avl_jax.errors import ConfigError
from configs import narrated_videos
from input_pipeline.datasets.narrated_videos import settings
from tests.helpers import narrated


@pytest.mark.parametrize(
  'options', [{'lengths': (5, 7)}, {'lengths': [5.0, 7.0]}, {'speech_share': 1}]
)
def test_equal_settings_are_written_alike(options):
  assert settings.make('fr', narrated.SMALL | options).text(
    'x'
  ) == settings.make('fr', narrated.SMALL).text('x')


@pytest.mark.parametrize(
  ('name', 'value', 'expected'),
  [
    ('num_videos', 3, '3 values, each a whole number'),
    ('num_videos', (1.5, 0, 0), '3 values, each a whole number'),
    ('num_videos', (1, 0), '3 values, each a whole number'),
    ('lengths', ('a', 'b'), '2 values, each a finite number'),
    ('lengths', (30.0, 10**400), '2 values, each a finite number'),
    ('lengths', (30.0, float('inf')), '2 values, each a finite number'),
    ('things_at_once', 1.5, 'a whole number'),
    ('seed', None, 'a whole number'),
    ('shift', 'a', 'a finite number'),
    ('speech_share', True, 'a finite number'),
  ],
)
def test_types_of_options_are_checked(name, value, expected):
  with pytest.raises(ConfigError) as error:
    settings.make('fr', {name: value})
  assert f'prepare.narrated.{name} is {value!r}. Expected {expected}. ' in str(
    error.value
  )


@pytest.mark.parametrize(
  ('part', 'options', 'name'),
  [
    ('clips', {'num_clip_videos': (0, 0, 0)}, 'num_clip_videos'),
    ('human', {'num_human_videos': 0}, 'num_human_videos'),
    ('human', {'speech_share': 0}, 'speech_share'),
  ],
)
def test_clips_without_videos_are_refused_at_once(
  stamps_folder, tmp_path, part, options, name
):
  with pytest.raises(ConfigError, match=rf'narrated\.{name} is .*has no clip'):
    input_pipeline.prepare(
      datasets=('narrated_videos/untrimmed_fr', f'narrated_videos/{part}_fr'),
      data_dir=str(tmp_path),
      media_dir=str(stamps_folder),
      narrated=narrated.SMALL | options,
    )
  assert not list(tmp_path.iterdir())


def test_options_are_checked():
  with pytest.raises(ConfigError, match=r"unknown key 'sed'\. Choose one of"):
    settings.make('fr', {'sed': 1})
  with pytest.raises(ConfigError, match=r'speech_share is 1\.5\. Expected 0'):
    settings.make('fr', {'speech_share': 1.5})
  with pytest.raises(ConfigError, match=r'num_videos is \(0, 1, 1\)'):
    settings.make('fr', {'num_videos': (0, 1, 1)})


def test_names_are_checked(tmp_path):
  with pytest.raises(
    input_pipeline.DataError, match=r"no config 'clips_en'.*human_el"
  ):
    input_pipeline.prepare(
      datasets=('narrated_videos/clips_en',), data_dir=str(tmp_path)
    )


def test_the_config_spells_out_the_defaults():
  options = narrated_videos.get_config('es').prepare.narrated
  made = settings.make('es', options)
  assert made == settings.Settings(language='es')
  assert len(options) == len(dataclasses.fields(made)) - 1
