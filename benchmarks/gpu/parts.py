"""Parts of `benchmarks.gpu`: what they do, how long they may take, sizes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

# The rows tell what XLA itself does, so this part has Triton, as XLA has.
_WITH_TRITON = {'XLA_FLAGS': '--xla_gpu_enable_triton_gemm=true'}
_DETERMINISTIC = {'XLA_FLAGS': '--xla_gpu_deterministic_ops=true'}
# Kernels of a captured graph have no names in a trace.
_NO_GRAPHS = {'XLA_FLAGS': '--xla_gpu_enable_command_buffer='}


@dataclasses.dataclass(frozen=True)
class Part:
  """A table, whose rows a module makes in a process of its own.

  Attributes:
    title: of the table.
    module: its `cases(sizes)` returns name -> function that returns a row, or
      several.
    seconds: most that the part may take, on one H100.
    processes: label -> environment of each process in which the cases run.
      Each has compiled programs of its own.
  """

  title: str
  module: str
  seconds: int
  processes: Mapping[str, Mapping[str, str]] = dataclasses.field(
    default_factory=lambda: {'': {}}
  )

  @property
  def name(self) -> str:
    """The module's, without its package."""
    return self.module.rpartition('.')[2]


@dataclasses.dataclass(frozen=True)
class Sizes:
  """Sizes of what is measured; those of the tests are small.

  Attributes:
    batch_size: of the repeated steps and of the profile; measured first.
    batch_sizes: others, of the training step's table.
    steps: of a round; two rounds are measured.
    model: keyword arguments of `AVLnet` that make it small.
    evaluations: golden cases.
    pairs: N that are ranked in both directions.
    vectors: N that are searched on the device.
    indexed: N of an index on disk, of half as many bytes each.
    width: D of both.
    twins: whether PyTorch's twins, which are not small, run too.
  """

  batch_size: int = 1024
  batch_sizes: tuple[int, ...] = (256, 4096)
  steps: int = 10
  model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  evaluations: tuple[str, ...] = ('ratio13', 'full_unit')
  pairs: int = 50_000
  vectors: int = 1_000_000
  indexed: int = 200_000
  width: int = 4096
  twins: bool = True


FULL = Sizes()
SMALL = Sizes(
  batch_size=8,
  batch_sizes=(),
  steps=1,
  model={
    'embed_dim': 16,
    'widths': (8, 8, 8, 16, 32),
    'blocks': (1, 1, 1, 1),
  },
  evaluations=('ratio13',),
  pairs=100,
  vectors=2000,
  indexed=2000,
  width=16,
  twins=False,
)
_HERE = 'benchmarks.gpu.'
# 360 seconds together.
PARTS = (
  Part('Self-test', f'{_HERE}arithmetic', 20),
  Part(
    "Wrong results that jax's tracker tells of",
    f'{_HERE}wrong_results',
    20,
    {'': _WITH_TRITON},
  ),
  Part('Golden numbers', f'{_HERE}golden_numbers', 50),
  Part(
    'Ten training steps, repeated',
    f'{_HERE}repeats',
    70,  # Four compilations.
    {
      'usual': {},
      'usual, another process': {},
      'deterministic': _DETERMINISTIC,
      'deterministic, another process': _DETERMINISTIC,
    },
  ),
  Part('A training step', f'{_HERE}training', 130),
  Part('Where its time goes', f'{_HERE}step_parts', 25, {'': _NO_GRAPHS}),
  Part('Ranking and search', f'{_HERE}nearest', 45),
)
