"""The authors' checkpoints as runs of ours, and our runs as theirs."""

import hashlib
import io
import os
import pathlib
from collections.abc import Mapping

import jax
import numpy as np
from flax import traverse_util

from avl_jax import torch_files
from avl_jax.checkpoints import checkpointer, loading, metadata
from avl_jax.errors import UserError
from avl_jax.files import write_atomically
from avl_jax.models.avlnet import AVLnet, init_variables
from avl_jax.reports import page
from avl_jax.torch_files import weight_map
from avl_jax.train.step import TrainState

UNUSED = 'unused.npz'  # beside the checkpoints: what the model never applies
HEADER = ('Entry', 'Shape', 'Type', 'L2 norm', 'Here')


def import_release(
  *, file: str, workdir: str | os.PathLike, model: Mapping
) -> dict:
  """Makes a run whose one checkpoint is that of the authors.

  What the file holds and the model never applies (`DAVEnet.batchnorm1`,
  `num_batches_tracked`, `GU_audio` of AVLnet-Text-Fused) is kept beside it for
  the way back. WORKDIR/import.md and .html list every entry with its shape,
  norm and place.

  Args:
    file: `AVLnet_release.pth`, `AVLnet_Text_Tri_release.pth` or
      `AVLnet_Text_Fused_release.pth`, or an `amp_checkpoint.pt` of the
      authors' code.
    workdir: folder of the new run.
    model: keyword arguments of `AVLnet`, for those that the file leaves open.

  Returns:
    The keyword arguments of the imported model.

  Raises:
    UserError: there is no such file, or the workdir has checkpoints already.
    ReleaseError: an entry is missing, unknown, not finite, or not of the
      shape or type that the others make it have.
  """
  if not os.path.isfile(file):
    raise UserError(
      f'no file {file!r}: name a checkpoint of the authors, '
      '--config.release.file=AVLnet_release.pth'
    )
  file = pathlib.Path(file)
  state = torch_files.read_state_dict(file)
  table = weight_map.VARIANTS[weight_map.variant_of(state, str(file))]
  try:
    variables, unused = weight_map.variables_of(state, table)
    options = {**model, 'structure': 'release', **_options(variables)}
    visual_width = len(variables['params']['video_head']['linear']['kernel'])
  except (ValueError, IndexError) as error:
    raise torch_files.ReleaseError(f'{file}: {error}') from error
  expected = jax.eval_shape(
    lambda: init_variables(AVLnet(**options), visual_width)
  )
  _check(state, table, traverse_util.flatten_dict(expected), file)
  with file.open('rb') as content:
    digest = hashlib.file_digest(content, 'sha256').hexdigest()
  description = metadata.describe(
    options, visual_width, f'{file.name} sha256:{digest[:16]}'
  )
  checkpoints = checkpointer.Checkpoints(workdir, description)
  if not checkpoints.is_empty:
    checkpoints.close()
    raise UserError(f'{workdir} has checkpoints already; use another workdir')
  # First, for without them an export would look as if nothing were missing.
  buffer = io.BytesIO()
  np.savez(buffer, **unused)
  write_atomically(pathlib.Path(workdir) / UNUSED, buffer.getvalue())
  checkpoints.save(TrainState(np.int32(0), variables, {}, np.int32(0)), {})
  checkpoints.close()
  _report(pathlib.Path(workdir), state, table, file.name)
  return options


def export_release(*, file: str, workdir: str | os.PathLike) -> None:
  """Writes the best checkpoint of a run as one that the authors' code loads.

  Args:
    file: to be written, in PyTorch's legacy container.
    workdir: folder of the run. Where it is an imported one, the entries that
      are never applied are those of the imported file, else a new model's.

  Raises:
    CheckpointError: there is no checkpoint.
    UserError: no file is named, or the authors' code has no such model.
  """
  if not file:
    raise UserError('name the file to write: --config.release.file=FILE.pth')
  network, variables, description = loading.load(workdir)
  table = weight_map.weights_of(variables)
  if table is None:
    raise UserError(
      f"the model of {workdir} is none of the release's: structure "
      f'{network.structure!r}, blocks {network.blocks}, fused '
      f'{network.fused} with word_dim {network.word_dim}; expected '
      f"'release', {weight_map.BLOCKS}, and fused only with words"
    )
  unused, kept = {}, pathlib.Path(workdir) / UNUSED
  if kept.exists():
    with np.load(kept, allow_pickle=False) as arrays:
      unused = dict(arrays)
  state = weight_map.state_dict_of(variables, table, unused)
  torch_files.write_state_dict(file, state)
  print(f'{file}: {len(state)} entries of step {description["step"]}')


def _options(variables: Mapping) -> dict:
  """The keyword arguments that the variables decide."""
  params = variables['params']
  encoder, pool = params['audio_encoder'], params.get('text_pool')
  stages = range(1, len(weight_map.BLOCKS) + 1)
  firsts = [encoder[f'stage{i}_block0']['conv1'] for i in stages]
  return {
    'embed_dim': len(params['video_head']['gate']['linear']['bias']),
    'widths': tuple(
      layer['kernel'].shape[-1] for layer in (encoder['stem'], *firsts)
    ),
    'blocks': weight_map.BLOCKS,
    'word_dim': len(pool['linear']['kernel']) if pool else 0,
    'fused': 'audio_text_head' in params,
  }


def _check(state, table, expected, file) -> None:
  """Raises ReleaseError for a wrong shape or type, or a NaN."""
  for key, weight in table.items():
    array = state[key]
    if not np.isfinite(array).all():
      raise torch_files.ReleaseError(f'{file}: {key} is not finite')
    if weight.path is None:
      continue
    found = weight_map.to_ours(weight, array).shape, array.dtype
    wanted = expected[weight.path].shape, expected[weight.path].dtype
    if found != wanted:
      raise torch_files.ReleaseError(
        f'{file}: {key} has shape {found[0]} and type {found[1]} in our '
        f'layout, expected {wanted[0]} and {wanted[1]}'
      )


def _report(workdir, state, table, name) -> None:
  rows = []
  for key, array in state.items():
    path = table[key].path
    norm = np.linalg.norm(array.astype(np.float64).ravel())
    place = '/'.join(path) if path else 'never applied, kept for the export'
    shape = ' x '.join(map(str, array.shape)) or 'scalar'
    rows.append((key, shape, str(array.dtype), f'{norm:.6g}', place))
  unused = sum(table[key].path is None for key in state)
  summary = (
    f'{len(state)} entries, {sum(x.size for x in state.values()):,} numbers; '
    f'{unused} entries are never applied'
  )
  page.write(
    workdir,
    'import',
    (page.Heading(1, name), page.Text(summary), page.Table(HEADER, rows)),
  )
  print(f'{name}: {summary}; look at {workdir}/import.html')
