"""Reader of the golden set: probe of each manifest, both spellings of names."""

import json
import shutil

import pytest

from tests.helpers import golden


@pytest.fixture
def root(tmp_path, monkeypatch):
  """A copy of two cases and the manifests, to change; the names lettered."""
  for folder in ('', 'visual'):
    (tmp_path / folder).mkdir(exist_ok=True)
    manifest = golden.ROOT / folder / 'manifest.json'
    shutil.copy(manifest, tmp_path / folder / 'manifest.json')
  for letter, name in (('F', 'mms_loss'), ('M', 'visual/extractor')):
    for end in ('json', 'npz'):
      source = golden.find(f'{name}.{end}')
      stem = f'{letter}_{name.rpartition("/")[2]}.{end}'
      shutil.copy(source, (tmp_path / f'{name}.{end}').with_name(stem))
  monkeypatch.setattr(golden, 'ROOT', tmp_path)
  golden._prefix.cache_clear()
  yield tmp_path
  golden._prefix.cache_clear()


def _change(path, **changes):
  path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize('name', ['mms_loss', 'visual/extractor'])
def test_names_may_have_a_letter(root, name):
  description, arrays = golden.load(name)
  assert description['arrays'].keys() == arrays.keys()
  assert len(arrays) > 5


@pytest.mark.parametrize('folder', ['', 'visual'])
@pytest.mark.parametrize(
  ('key', 'value'), [('seed', 1), ('values', [0.0] * 5), ('rule', 'z(1)')]
)
def test_another_probe_is_refused(root, folder, key, value):
  path = root / folder / 'manifest.json'
  probe = json.loads(path.read_text())['probe'] | {key: value}
  _change(path, probe=probe)
  with pytest.raises(AssertionError):
    golden.normal('x', (2,), folder)


def test_another_prefix_is_refused(root):
  _change(root / 'manifest.json', prefix='other/')
  with pytest.raises(AssertionError):
    golden.load('mms_loss')


def test_a_changed_array_is_refused(root):
  path = root / 'F_mms_loss.json'
  arrays = json.loads(path.read_text())['arrays']
  next(iter(arrays.values()))['crc32'] += 1
  _change(path, arrays=arrays)
  with pytest.raises(AssertionError, match='mms_loss'):
    golden.load('mms_loss')


@pytest.mark.parametrize('folder', ['', 'visual'])
def test_the_probe_follows_the_recipe(folder):
  manifest = json.loads((golden.ROOT / folder / 'manifest.json').read_text())
  drawn = golden.normal('probe', (5,), folder)
  assert drawn.tolist() == manifest['probe']['values']
