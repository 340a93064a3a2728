"""The texts of the page: complete in every language; its code: all its own."""

import json
import pathlib
import re

import pytest

import avl_jax

STATIC = pathlib.Path(avl_jax.__file__).parent / 'page/static'
TEXTS = {
  path.stem: json.loads(path.read_text())
  for path in (STATIC / 'texts').glob('*.json')
}
SOURCES = {
  path.relative_to(STATIC).as_posix(): path.read_text()
  for pattern in ('*.html', '*.css', '*.svg', 'js/*.js')
  for path in STATIC.glob(pattern)
}
SCRIPTS = '\n'.join(x for name, x in SOURCES.items() if name.endswith('.js'))
FORMS = re.compile(r'\.(zero|one|two|few|many|other)$')


def _stems(texts):
  """Keys without the forms of plurals."""
  return {FORMS.sub('', key) for key in texts}


def _used():
  """Keys that the page and its code name."""
  page = re.findall(r'data-text(?:-\w+)?="([^"]+)"', SOURCES['index.html'])
  return {*page, *re.findall(r"'([a-z]+(?:\.[a-z]+)*)'", SCRIPTS)}


def test_each_language_has_each_text():
  assert {'en', 'fr'} <= set(TEXTS)
  stems = _stems(TEXTS['en'])
  assert len(stems) > 90
  for language, texts in TEXTS.items():
    assert _stems(texts) == stems, language
    assert all(text.strip() for text in texts.values()), language
    for key in stems:
      plurals = {name for name in texts if FORMS.sub('', name) == key}
      assert plurals == {key} or f'{key}.other' in plurals, key


@pytest.mark.parametrize('language', TEXTS)
def test_texts_of_a_language_have_the_same_values(language):
  def values(texts, stem):
    return {
      value
      for key, text in texts.items()
      if FORMS.sub('', key) == stem
      for value in re.findall(r'\{(\w+)\}', text)
    }

  for stem in _stems(TEXTS['en']):
    expected = values(TEXTS['en'], stem)
    assert values(TEXTS[language], stem) == expected, stem


def test_languages_that_the_page_offers_are_the_files():
  (listed,) = re.findall(r'LANGUAGES = \{(.*?)\}', SCRIPTS, re.DOTALL)
  assert set(re.findall(r'(\w+):', listed)) == set(TEXTS)


def test_each_text_that_is_used_exists():
  stems = _stems(TEXTS['en'])
  page = re.findall(r'data-text(?:-\w+)?="([^"]+)"', SOURCES['index.html'])
  said = re.findall(r"\bsay(?:Count)?\(\s*'([^']+)'", SCRIPTS)
  assert len(page) > 40
  assert len(said) > 40
  assert {*page, *said} <= stems


def test_each_text_is_used():
  assert not _stems(TEXTS['en']) - _used()


def test_nothing_of_the_page_comes_from_elsewhere():
  """So that the strict headers of the server suffice."""
  assert len(SOURCES) > 15
  for name, text in SOURCES.items():
    addresses = set(re.findall(r'(?:https?:)?//[\w.]+\w', text))
    if name.endswith('.js'):  # Comments begin alike.
      addresses = {x for x in addresses if x.startswith('http')}
    assert addresses <= {'http://www.w3.org'}, name
    for word in ('eval(', 'innerHTML', 'document.write', ' style="'):
      assert word not in text, name
    if name.endswith('.html'):
      assert not re.search(r'<style|<script(?![^>]* src=)|\son\w+=', text), name
