"""Settings of XLA before it compiles."""

import subprocess
import sys

import pytest

from avl_jax import compilation


@pytest.mark.parametrize(
  ('before', 'after'),
  [
    ('', '--xla_gpu_enable_triton_gemm=false'),
    ('--xla_a=1', '--xla_a=1 --xla_gpu_enable_triton_gemm=false'),
    ('--xla_gpu_enable_triton_gemm=true', None),
  ],
)
def test_triton_is_left_out_unless_it_is_asked_for(before, after, monkeypatch):
  monkeypatch.setenv('XLA_FLAGS', before)
  for _ in range(2):
    compilation.set_up('')
    assert compilation.os.environ['XLA_FLAGS'] == (after or before)


def test_xla_takes_the_flag():
  """It ends a process that has a flag which it does not know."""
  program = (
    'from avl_jax import compilation; compilation.avoid_triton()\n'
    'import jax; print(jax.numpy.arange(3).sum())'
  )
  result = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True, check=True
  )
  assert result.stdout == '3\n'
