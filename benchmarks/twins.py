"""PyTorch twins of the network and its training step, for `train_step`.

Modules have the names of ours, so weights are copied by name.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class Twin(nn.Module):
  """AVLnet in the release's structure: the gate, then the projection.

  Args:
    dims: 2: as in the release, kernels (1, 9) over [N, C, 1, T] after one of
      (40, 1); 1: kernels of 9 over [N, C, T].
  """

  def __init__(self, dims: int):
    super().__init__()
    self.dims = dims
    self.audio_encoder = _Encoder(dims)
    self.audio_head = _Gated(1024, 1024)
    self.audio_projection = nn.Linear(1024, 4096)
    self.video_head = _Gated(4096, 4096)

  def forward(self, spectrogram, visual):
    """Maps [N, 40, T] and [N, 4096] to two arrays [N, 4096]."""
    if self.dims == 2:
      spectrogram = spectrogram.unsqueeze(1)
    frames = self.audio_encoder(spectrogram)
    pooled = frames.flatten(2).mean(2)
    audio = self.audio_projection(self.audio_head(pooled))
    return audio, self.video_head(visual)


class _Encoder(nn.Sequential):
  def __init__(self, dims):
    super().__init__()
    stem = (
      nn.Conv1d(40, 128, 1, bias=False)
      if dims == 1
      else nn.Conv2d(1, 128, (40, 1), bias=False)
    )
    self.add_module('stem', stem)
    self.add_module('stem_norm', _norm(dims, 128))
    self.add_module('relu', nn.ReLU())
    inputs = 128
    for i, width in enumerate((128, 256, 512, 1024)):
      for j, stride in enumerate((2, 1)):
        block = _Block(dims, inputs, width, stride)
        self.add_module(f'stage{i + 1}_block{j}', block)
        inputs = width


class _Block(nn.Module):
  def __init__(self, dims, inputs, width, stride):
    super().__init__()
    self.conv1 = _conv(dims, inputs, width, 9, stride)
    self.norm1 = _norm(dims, width)
    self.conv2 = _conv(dims, width, width, 9, 1)
    self.norm2 = _norm(dims, width)
    self.shortcut = None
    if stride != 1:
      self.shortcut = _conv(dims, inputs, width, 1, stride)
      self.shortcut_norm = _norm(dims, width)

  def forward(self, x):
    y = functional.relu(self.norm1(self.conv1(x)))
    y = self.norm2(self.conv2(y))
    if self.shortcut is not None:
      x = self.shortcut_norm(self.shortcut(x))
    return functional.relu(x + y)


class _Gated(nn.Module):
  def __init__(self, inputs, width):
    super().__init__()
    self.linear = nn.Linear(inputs, width)
    self.gate = nn.ModuleDict({'linear': nn.Linear(width, width)})

  def forward(self, x):
    y = self.linear(x)
    return y * torch.sigmoid(self.gate['linear'](y))


def _conv(dims, inputs, width, kernel, stride):
  pad = kernel // 2
  if dims == 1:
    return nn.Conv1d(inputs, width, kernel, stride, pad, bias=False)
  return nn.Conv2d(
    inputs, width, (1, kernel), stride, padding=(0, pad), bias=False
  )


def _norm(dims, width):
  return nn.BatchNorm1d(width) if dims == 1 else nn.BatchNorm2d(width)


def make_step(
  dims: int, dtype: str, weights: dict, batch: dict, compiled: bool = False
):
  """Makes a training step.

  Args:
    dims: see `Twin`.
    dtype: 'bfloat16' is by autocast.
    weights: our parameters, 'audio_encoder/stem/kernel' -> array.
    batch: batch of our model.
    compiled: by `torch.compile`.

  Returns:
    step() -> loss; number of parameters; peak() -> bytes, None on a CPU; name
    of the device.
  """
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  model = Twin(dims).to(device).train()
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      module, leaf = name.replace('.', '/').rsplit('/', 1)
      kinds = ('kernel', 'scale') if leaf == 'weight' else ('bias',)
      (array,) = (
        weights[k] for x in kinds if (k := f'{module}/{x}') in weights
      )
      # Ours are [in, out] and [time, in, out]: the axes reversed.
      value = torch.from_numpy(np.ascontiguousarray(array.T))
      parameter.copy_(value.reshape(parameter.shape))
  optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
  spectrogram = torch.from_numpy(batch['spectrogram']).to(device)
  spectrogram = spectrogram.transpose(1, 2).contiguous()
  visual = torch.from_numpy(batch['visual']).to(device)
  forward = torch.compile(model) if compiled else model
  margin = 0.001 * torch.eye(len(visual), device=device)

  def step() -> float:
    optimizer.zero_grad()
    with torch.autocast(device, torch.bfloat16, enabled=dtype == 'bfloat16'):
      audio, video = forward(spectrogram, visual)
      scores = (audio @ video.T).float() - margin
      loss = -sum(
        functional.log_softmax(s, 1).diagonal().mean()
        for s in (scores, scores.T)
      )
    loss.backward()
    optimizer.step()
    return loss.item()

  size = sum(parameter.numel() for parameter in model.parameters())
  peak = torch.cuda.max_memory_allocated if device == 'cuda' else None
  return step, size, peak, f'{device}, torch {torch.__version__}'
