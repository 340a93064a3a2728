"""Importing and exporting the authors' checkpoints."""

import json

import jax
import numpy as np
import pytest

import main
from avl_jax import torch_files
from avl_jax.checkpoints import checkpointer, loading, metadata
from avl_jax.config import tuples
from avl_jax.errors import UserError
from avl_jax.models import avlnet
from avl_jax.modes import convert
from avl_jax.torch_files import weight_map
from avl_jax.train import step as training_step
from tests.helpers import golden, small_release

_OPTIONS = {
  'AVLnet': {},
  'AVLnet-Text-Tri': {'word_dim': 300, 'embed_dim': 6144},
  'AVLnet-Text-Fused': {'word_dim': 300, 'fused': True},
}
# batchnorm1 and the counts of 21 norms; GU_audio.
_UNUSED = {
  'AVLnet': 5 + 21,
  'AVLnet-Text-Tri': 5 + 21,
  'AVLnet-Text-Fused': 5 + 21 + 4,
}


@pytest.fixture(scope='module', params=_OPTIONS)
def imported(tmp_path_factory, request):
  """(workdir, state dict, variant) of a small checkpoint, imported by main."""
  folder = tmp_path_factory.mktemp('imported')
  state = small_release.small_state(request.param)
  torch_files.write_state_dict(folder / 'AVLnet_release.pth', state)
  main.main(
    [
      'main.py',
      '--mode=import',
      f'--workdir={folder}/run',
      f'--config.release.file={folder}/AVLnet_release.pth',
    ]
  )
  return folder / 'run', state, request.param


@pytest.mark.parametrize('variant', _OPTIONS)
def test_the_table_has_the_release_keys_in_their_order(variant):
  table, described = (
    weight_map.VARIANTS[variant],
    small_release.RELEASED[variant]['keys'],
  )
  assert list(table) == [key for key, *_ in described]
  assert len(table) == 141 + 6 * ('Tri' in variant) + 8 * ('Fused' in variant)
  unused = [key for key, weight in table.items() if weight.path is None]
  dead = ('DAVEnet.batchnorm1.', *('GU_audio.',) * ('Fused' in variant))
  assert all(key.startswith(dead) or key.endswith('_tracked') for key in unused)
  assert len(unused) == _UNUSED[variant]
  network = avlnet.AVLnet(structure='release', **_OPTIONS[variant])
  shapes = jax.eval_shape(lambda: avlnet.init_variables(network, 4096))
  arrays = {
    key: np.broadcast_to(np.zeros((), dtype), shape)
    for key, shape, dtype, _ in described
  }
  expected = jax.tree.map(lambda x: (x.shape, x.dtype), shapes)
  ours = {
    weight.path: (
      np.squeeze(arrays[key], weight.ones).T.shape,
      arrays[key].dtype,
    )
    for key, weight in table.items()
    if weight.path
  }
  assert ours == {
    tuple(part.key for part in path): leaf
    for path, leaf in jax.tree.leaves_with_path(
      expected, is_leaf=lambda x: isinstance(x, tuple)
    )
  }


def test_every_number_arrives_where_the_release_applies_it():
  """Naive: each kernel's element by element, the others as they are."""
  state = small_release.small_state()
  variables, unused = weight_map.variables_of(
    state, weight_map.VARIANTS['AVLnet']
  )
  assert set(unused) < set(state)
  encoder = variables['params']['audio_encoder']
  kernel = state['DAVEnet.layer2.0.conv1.weight']
  out, into, _, time = kernel.shape
  for i, j, k in np.ndindex(out, into, time):
    ours = encoder['stage2_block0']['conv1']['kernel'][k, j, i]
    assert ours == kernel[i, j, 0, k]
  stem = state['DAVEnet.conv1.weight']
  for i, j in np.ndindex(stem.shape[0], stem.shape[2]):
    assert encoder['stem']['kernel'][j, i] == stem[i, 0, j, 0]
  shortcut = state['DAVEnet.layer3.0.downsample.0.weight']
  np.testing.assert_array_equal(
    encoder['stage3_block0']['shortcut']['kernel'], shortcut[:, :, 0, 0].T
  )
  statistics = variables['batch_stats']['audio_encoder']['stem_norm']
  np.testing.assert_array_equal(
    statistics['var'], state['DAVEnet.bn1.running_var']
  )


def test_text_arrives_where_the_release_applies_it():
  tri, fused = (
    weight_map.variables_of(
      small_release.small_state(f'AVLnet-Text-{name}'),
      weight_map.VARIANTS[f'AVLnet-Text-{name}'],
    )
    for name in ('Tri', 'Fused')
  )
  state = small_release.small_state('AVLnet-Text-Tri')
  params = tri[0]['params']
  for theirs, ours in (
    ('text_pooling_caption.fc', params['text_pool']['linear']),
    ('GU_text_captions.fc', params['text_head']['linear']),
    ('GU_text_captions.cg.fc', params['text_head']['gate']['linear']),
    ('GU_audio.fc', params['audio_head']['linear']),
  ):
    np.testing.assert_array_equal(ours['kernel'], state[f'{theirs}.weight'].T)
    np.testing.assert_array_equal(ours['bias'], state[f'{theirs}.bias'])
  state, head = (
    small_release.small_state('AVLnet-Text-Fused'),
    fused[0]['params'],
  )
  assert 'audio_head' not in head
  for theirs, ours in (
    ('text_pooling_caption.fc', head['text_pool']['linear']),
    ('GU_audio_text.fc_audio', head['audio_text_head']['audio']),
    ('GU_audio_text.fc_text', head['audio_text_head']['text']),
    ('GU_audio_text.cg.fc', head['audio_text_head']['gate']['linear']),
  ):
    np.testing.assert_array_equal(ours['kernel'], state[f'{theirs}.weight'].T)
    np.testing.assert_array_equal(ours['bias'], state[f'{theirs}.bias'])
  np.testing.assert_array_equal(
    fused[1]['GU_audio.fc.weight'], state['GU_audio.fc.weight']
  )


def test_round_trip_is_exact(imported, tmp_path):
  workdir, state, _ = imported
  path = tmp_path / 'again.pth'
  arguments = ['--mode=export', f'--workdir={workdir}']
  main.main(['main.py', *arguments, f'--config.release.file={path}'])
  small_release.assert_same(torch_files.read_state_dict(path), state)


@pytest.mark.parametrize('imported', ['AVLnet-Text-Fused'], indirect=True)
def test_safetensors_make_the_same_run(imported, tmp_path):
  """A run becomes safetensors, these a run, and both the same `.pth`."""
  runs = imported[0], tmp_path / 'again'
  file = str(tmp_path / 'ours.safetensors')
  convert.export_release(file=file, workdir=runs[0])
  # The only key of the config that is neither a default nor in the file.
  model = {'dtype': 'bfloat16'}
  convert.import_release(file=file, workdir=runs[1], model=model)
  networks, variables, _ = zip(*map(loading.load, runs), strict=True)
  assert networks[0] == networks[1]
  jax.tree.map(np.testing.assert_array_equal, *variables)
  unused = [(run / convert.UNUSED).read_bytes() for run in runs]
  assert unused[0] == unused[1]
  reports = [(run / 'import.md').read_text().splitlines() for run in runs]
  assert reports[0][1:] == reports[1][1:]  # all but the name of the file
  for i, run in enumerate(runs):
    convert.export_release(file=str(tmp_path / f'{i}.pth'), workdir=run)
  exported = [(tmp_path / f'{i}.pth').read_bytes() for i in range(2)]
  assert exported[0] == exported[1]


def test_the_import_lists_every_entry(imported):
  workdir, state, variant = imported
  report = (workdir / 'import.md').read_text()
  for key, value in state.items():
    norm = np.linalg.norm(value.astype(np.float64).ravel())
    (line,) = (
      line
      for line in report.replace('\\', '').splitlines()
      if line.startswith(f'| {key} |')
    )
    assert f'{norm:.6g}' in line
  assert report.count('never applied, kept') == _UNUSED[variant]
  assert json.loads((workdir / 'config.json').read_text())['model'] == {
    **loading.load(workdir)[2]['model'],
    'structure': 'release',
    'embed_dim': 14 if 'Tri' in variant else 12,
    'widths': [4, 4, 6, 8, 10],
    'word_dim': 5 if 'Text' in variant else 0,
    'fused': 'Fused' in variant,
  }


_TINY = {'embed_dim': 8, 'widths': (4, 4, 4, 4, 6), 'structure': 'release'}


@pytest.mark.parametrize('options', [{}, {'word_dim': 3, 'fused': True}])
def test_a_new_run_is_exported_with_entries_at_rest(options):
  network = avlnet.AVLnet(**_TINY, **options)
  variables = jax.tree.map_with_path(
    lambda path, x: golden.normal(jax.tree_util.keystr(path), x.shape),
    jax.eval_shape(lambda: avlnet.init_variables(network, 5)),
  )
  table = weight_map.weights_of(variables)
  state = weight_map.state_dict_of(variables, table, {})
  again, unused = weight_map.variables_of(state, table)
  jax.tree.map(np.testing.assert_array_equal, again, variables)
  for key, rest in [('weight', 1), ('bias', 0), ('running_mean', 0)]:
    assert unused[f'DAVEnet.batchnorm1.{key}'] == [rest]
  assert unused['DAVEnet.batchnorm1.running_var'] == [1]
  assert unused['DAVEnet.bn1.num_batches_tracked'] == 0
  assert unused['DAVEnet.bn1.num_batches_tracked'].dtype == np.int64
  gates = {key: x for key, x in unused.items() if key.startswith('GU_audio.')}
  assert {key: x.shape for key, x in gates.items()} == (
    {
      'GU_audio.fc.weight': (6, 6),
      'GU_audio.fc.bias': (6,),
      'GU_audio.cg.fc.weight': (6, 6),
      'GU_audio.cg.fc.bias': (6,),
    }
    if options
    else {}
  )
  assert not any(x.any() for x in gates.values())


@pytest.mark.parametrize(
  'options',
  [
    {'structure': 'thesis'},
    {'fused': True},
    {'structure': 'thesis', 'word_dim': 3},
    {'blocks': (1, 1, 1, 1)},
  ],
)
def test_models_that_the_release_does_not_have(options):
  network = avlnet.AVLnet(**_TINY | options)
  variables = jax.eval_shape(lambda: avlnet.init_variables(network, 5))
  assert weight_map.weights_of(variables) is None


def test_refuses_what_it_cannot_write_or_find(tmp_path):
  with pytest.raises(UserError, match='no checkpoint in'):
    convert.export_release(file='x.pth', workdir=tmp_path)
  with pytest.raises(UserError, match='Name the one to write'):
    convert.export_release(file='', workdir=tmp_path)
  with pytest.raises(UserError, match='There is no file'):
    convert.import_release(file='', workdir=tmp_path, model={})
  description = metadata.describe(
    {'embed_dim': 8, 'widths': (4, 4, 4, 4, 6)}, 5, 'data'
  )
  run = checkpointer.Checkpoints(tmp_path, description)
  variables = avlnet.init_variables(avlnet.AVLnet(**description['model']), 5)
  run.save(
    training_step.TrainState(np.int32(0), variables, {}, np.int32(0)), {}
  )
  run.close()
  with pytest.raises(UserError, match="structure is 'thesis'"):
    convert.export_release(file='x.pth', workdir=tmp_path)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda s: s.pop('GU_video.fc.bias'), 'lacks GU_video.fc.bias and has'),
    (
      lambda s: s.update({f'module.{k}': s.pop(k) for k in list(s)}),
      r'lacks DAVEnet\..* and 138 more',
    ),
    (
      lambda s: s.update({'DAVEnet_projection.bias': np.zeros(3, 'f4')}),
      'DAVEnet_projection.bias has shape .3,.*Expected .12,',
    ),
    (
      lambda s: s.update({'GU_audio.fc.bias': np.zeros(10, 'f2')}),
      'GU_audio.fc.bias .*float16.*float32',
    ),
    (
      lambda s: s.update({'GU_audio.fc.bias': np.full(10, np.nan, 'f4')}),
      'GU_audio.fc.bias has NaN or infinite values',
    ),
    (
      lambda s: s.update({'DAVEnet.conv1.weight': np.ones((4, 2, 40, 1))}),
      r'release\.(pth|safetensors): ',
    ),
  ],
)
@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_refuses_what_does_not_fit(tmp_path, suffix, change, message):
  path = tmp_path / f'release.{suffix}'
  state = small_release.small_state()
  change(state)
  torch_files.write_state_dict(path, state)
  with pytest.raises(torch_files.ReleaseError, match=message):
    convert.import_release(file=str(path), workdir=tmp_path / 'run', model={})
  assert not (tmp_path / 'run').exists()


def test_an_interrupted_import_can_be_repeated(tmp_path, monkeypatch):
  """Entries that are never applied are written before the checkpoint."""
  torch_files.write_state_dict(tmp_path / 'a.pth', small_release.small_state())
  arguments = {
    'file': str(tmp_path / 'a.pth'),
    'workdir': tmp_path / 'run',
    'model': {},
  }

  def interrupted(*_):
    assert (tmp_path / 'run' / convert.UNUSED).exists()
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(checkpointer.Checkpoints, 'save', interrupted)
    with pytest.raises(KeyboardInterrupt):
      convert.import_release(**arguments)
  convert.import_release(**arguments)
  convert.export_release(
    file=str(tmp_path / 'b.pth'), workdir=arguments['workdir']
  )
  small_release.assert_same(
    torch_files.read_state_dict(tmp_path / 'b.pth'), small_release.small_state()
  )


@pytest.mark.parametrize('imported', ['AVLnet'], indirect=True)
def test_refuses_a_workdir_with_checkpoints(imported):
  workdir, *_ = imported
  options = tuples(loading.load(workdir)[2]['model'])
  with pytest.raises(UserError, match='already has checkpoints'):
    convert.import_release(
      file=str(workdir.parent / 'AVLnet_release.pth'),
      workdir=workdir,
      model=options,
    )
