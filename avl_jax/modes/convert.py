"""--mode=import and export: the authors' checkpoints to runs and back."""

import hashlib
import io
import os
import pathlib
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict

from avl_jax import torch_files
from avl_jax.checkpoints import checkpointer, loading, metadata
from avl_jax.config import write_config
from avl_jax.errors import UserError
from avl_jax.files import write_atomically
from avl_jax.models.avlnet import AVLnet, init_variables
from avl_jax.modes.pipeline import InputPipeline
from avl_jax.reports import page
from avl_jax.torch_files import weight_map
from avl_jax.train.step import TrainState

UNUSED = 'unused.npz'  # beside the checkpoints: entries never applied
HEADER = ('Entry', 'Shape', 'Type', 'L2 norm', 'Here')


def import_mode(
  config: ConfigDict, workdir: pathlib.Path, pipeline: InputPipeline
) -> None:
  """Makes a run whose one checkpoint is one of the authors'."""
  del pipeline
  model = import_release(**config.release, workdir=workdir, model=config.model)
  config.model.update(model)
  write_config(config, workdir)


def export_mode(
  config: ConfigDict, workdir: pathlib.Path, pipeline: InputPipeline
) -> None:
  """Writes the best checkpoint of a run as a file for the authors' code."""
  del pipeline
  export_release(**config.release, workdir=workdir)


def import_release(
  *, file: str, workdir: str | os.PathLike, model: Mapping
) -> dict:
  """Makes a run whose one checkpoint is one of the authors'.

  Entries that the model never applies (`DAVEnet.batchnorm1`,
  `num_batches_tracked`, `GU_audio` of AVLnet-Text-Fused) are kept beside the
  checkpoint for an export. WORKDIR/import.md and import.html list every entry
  with its shape, norm and place.

  Args:
    file: `AVLnet_release.pth`, `AVLnet_Text_Tri_release.pth` or
      `AVLnet_Text_Fused_release.pth`, one of them converted to safetensors,
      or an `amp_checkpoint.pt` of the authors' code.
    workdir: folder of the new run.
    model: keyword arguments of `AVLnet`; the file overrides those that it
      decides.

  Returns:
    The keyword arguments of the imported model.

  Raises:
    UserError: the file is missing, or the workdir has checkpoints.
    ReleaseError: an entry is missing, unknown or not finite, or its shape or
      type does not fit the other entries.
  """
  if not os.path.isfile(file):
    raise UserError(
      f'There is no file {file!r}. Name a checkpoint of the authors, such as '
      '--config.release.file=AVLnet_release.pth.'
    )
  path = pathlib.Path(file)
  state = torch_files.read_state_dict(path)
  table = weight_map.VARIANTS[weight_map.variant_of(state, file)]
  try:
    variables, unused = weight_map.variables_of(state, table)
    options = {**model, 'structure': 'release', **_options(variables)}
  except (ValueError, IndexError) as error:
    raise torch_files.ReleaseError(
      f'{file}: The shapes do not fit each other ({error}). Expected weights '
      'of one model. Download or export the file again.'
    ) from error
  visual_width = len(variables['params']['video_head']['linear']['kernel'])
  _check(state, table, _expected(options, visual_width), file)
  checkpoints = _open_empty(workdir, options, visual_width, path)
  # Written first: an export without them would look complete.
  buffer = io.BytesIO()
  np.savez(buffer, allow_pickle=False, **unused)
  write_atomically(pathlib.Path(workdir) / UNUSED, buffer.getvalue())
  zero = jnp.zeros((), jnp.int32)
  checkpoints.save(TrainState(zero, variables, {}, zero), {})
  checkpoints.close()
  _report(pathlib.Path(workdir), state, table, path.name)
  return options


def _expected(options: Mapping, visual_width: int) -> Mapping:
  """Shapes and types of the model's variables, by their paths."""
  shapes = jax.eval_shape(
    lambda: init_variables(AVLnet(**options), visual_width)
  )
  return traverse_util.flatten_dict(shapes)


def _open_empty(
  workdir: str | os.PathLike,
  options: Mapping,
  visual_width: int,
  path: pathlib.Path,
) -> checkpointer.Checkpoints:
  """Checkpoints of a new run; UserError if the workdir has some."""
  with path.open('rb') as content:
    digest = hashlib.file_digest(content, 'sha256').hexdigest()
  description = metadata.describe(
    options, visual_width, f'{path.name} sha256:{digest[:16]}'
  )
  checkpoints = checkpointer.Checkpoints(workdir, description)
  if not checkpoints.is_empty:
    checkpoints.close()
    raise UserError(
      f'{workdir} already has checkpoints. Choose another --workdir.'
    )
  return checkpoints


def export_release(*, file: str, workdir: str | os.PathLike) -> None:
  """Writes the best checkpoint of a run as a file for the authors' code.

  Args:
    file: path to write to: FILE.safetensors, or any other name for PyTorch's
      legacy container.
    workdir: folder of the run. Entries that are never applied come from the
      imported file if the run was imported; otherwise they are a new model's.

  Raises:
    CheckpointError: the run has no checkpoint.
    UserError: no file is named or it cannot be written, or the authors' code
      has no such model.
  """
  if not file:
    raise UserError(
      'No file is named. Name the one to write, '
      '--config.release.file=FILE.pth or FILE.safetensors.'
    )
  network, variables, description = loading.load(workdir)
  variables['params'].pop('loss', None)  # no part of the model
  table = weight_map.weights_of(variables)
  if table is None or network.normalize:
    raise UserError(
      f"The authors' code has no model like that of {workdir}: its structure "
      f'is {network.structure!r}, its head {network.head!r}, normalize '
      f'{network.normalize}, its blocks {network.blocks}, fused '
      f'{network.fused} with word_dim {network.word_dim}. Expected '
      f"'release', 'gated', False, {weight_map.BLOCKS}, and fused only with "
      'words.'
    )
  unused, kept = {}, pathlib.Path(workdir) / UNUSED
  if kept.exists():
    with np.load(kept, allow_pickle=False) as arrays:
      unused = dict(arrays)
  state = weight_map.state_dict_of(variables, table, unused)
  torch_files.write_state_dict(file, state)
  print(f'Wrote {file}: {len(state)} entries of step {description["step"]}.')


def _options(variables: Mapping) -> dict:
  """Keyword arguments of the model that the variables decide."""
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
      raise torch_files.ReleaseError(
        f'{file}: {key} has NaN or infinite values. Expected finite weights. '
        'Export or download the file again.'
      )
    if weight.path is None:
      continue
    found = weight_map.to_ours(weight, array).shape, array.dtype
    wanted = expected[weight.path].shape, expected[weight.path].dtype
    if found != wanted:
      raise torch_files.ReleaseError(
        f'{file}: {key} has shape {found[0]} and type {found[1]} in our '
        f'layout. Expected {wanted[0]} and {wanted[1]}.'
      )


def _report(workdir, state, table, name) -> None:
  rows = []
  for key, weight in table.items():
    array, path = state[key], weight.path
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
  print(f'{name}: {summary}. Report: {workdir}/import.html')
