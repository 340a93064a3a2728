"""Processes of a run: connection, collectives, log lines."""

import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from avl_jax import logs, multihost
from avl_jax.errors import UserError
from tests.helpers.ports import free_port

ROOT = pathlib.Path(__file__).parent.parent
TIME = r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d'
PROGRAM = """
import json, sys
import numpy as np
from avl_jax import logs, multihost, parallel
multihost.connect(sys.argv[1], *map(int, sys.argv[2:]))
index, count = multihost.this()
zero = {'x': np.array([-0.0, 1.5 + index], np.float32), 'n': np.int32(4)}
zero['n'] = zero['n'] + np.int32(index)
zero = multihost.from_first(zero)
multihost.wait('a barrier')
logs.write('a line', sys.stderr)
weight = parallel.replicate(np.float32(3))
own = {'x': np.arange(4, dtype=np.float32) + 10 * index}
forward = parallel.pmap_forward(lambda w, batch: w * batch['x'])
step = parallel.pmap_step(
  lambda w, batch: (w + parallel.mean(batch['x'].sum()), {})
)
embedded = forward(weight, own).tolist()
stepped, _ = step(weight, parallel.shard(own))
print(json.dumps({
  'this': [index, count],
  'devices': [len(parallel.devices()), len(parallel.local_devices())],
  'largest': multihost.largest(3 + index),
  'first': [float(np.copysign(1, zero['x'][0])), float(zero['x'][1]),
            int(zero['n'])],
  'all': multihost.from_all({
    'ids': np.array(['é' * (1 + 4 * index), 'b']), 'x': np.full((2, 2), index)
  })['ids'].tolist(),
  'embedded': embedded,
  'stepped': float(stepped),
}))
"""


def test_who_leaves_is_named(monkeypatch, capsys):
  monkeypatch.setattr(multihost.jax, 'process_count', lambda: 2)
  monkeypatch.setattr(multihost.os, '_exit', sys.exit)
  monkeypatch.setattr(logs, '_process', 'box, process 1 of 2')
  with pytest.raises(SystemExit) as caught:
    multihost.leave('Traceback: it failed')
  assert caught.value.code == 1
  line = capsys.readouterr().err
  assert re.fullmatch(TIME + r' \[box, process 1 of 2\] Traceback: .*\n', line)


def _run(arguments, environment):
  return subprocess.Popen(
    [sys.executable, '-c', PROGRAM, *arguments],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env=os.environ
    | {'XLA_FLAGS': '--xla_force_host_platform_device_count=2'}
    | environment,
  )


def _as_launched_by(launcher, port, index):
  """Environment of srun and mpirun; JAX derives the port from the job id."""
  job = (port - (65535 - 2**12 + 1)) % 2**12
  if launcher == 'slurm':
    return {
      'SLURM_JOB_ID': str(job),
      'SLURM_STEP_NODELIST': 'localhost',
      'SLURM_NTASKS': '2',
      'SLURM_STEP_NUM_TASKS': '2',
      'SLURM_PROCID': str(index),
      'SLURM_LOCALID': str(index),
    }
  return {
    'OMPI_MCA_orte_hnp_uri': f'{job * 2**12}.0;tcp://127.0.0.1:34911',
    'OMPI_COMM_WORLD_SIZE': '2',
    'OMPI_COMM_WORLD_RANK': str(index),
    'OMPI_COMM_WORLD_LOCAL_RANK': str(index),
  }


@pytest.mark.parametrize('launcher', ['explicit', 'slurm', 'mpirun'])
def test_two_processes_agree(launcher):
  port = free_port()
  processes = []
  for index in range(2):
    arguments = [f'127.0.0.1:{port}', '2', str(index)]
    environment = {}
    if launcher != 'explicit':
      arguments = ['', '0', '0']
      environment = _as_launched_by(launcher, port, index)
    processes.append(_run(arguments, environment))
  outputs = [process.communicate(timeout=60) for process in processes]
  for index, (stdout, stderr) in enumerate(outputs):
    line = f'{TIME} \\[[^ ]+, process {index} of 2\\] a line'
    assert re.search(f'^{line}$', stderr, re.MULTILINE), stderr
    assert json.loads(stdout.splitlines()[-1]) == {
      'this': [index, 2],
      'devices': [4, 2],
      'largest': 4,
      'first': [-1.0, 1.5, 4],  # To the bit: the sign of zero too.
      'all': ['é', 'b', 'ééééé', 'b'],
      'embedded': [30.0 * index + 3 * i for i in range(4)],  # Each its own.
      'stepped': 3 + (1 + 5 + 21 + 25) / 4,
    }


def test_a_single_process_needs_no_connection():
  multihost.connect('', None, None)
  assert multihost.this() == (0, 1)
  assert multihost.largest(7) == 7
  x = np.array(['a', 'b'])
  assert multihost.from_all(x) is x


def test_a_failed_connection_is_reported(monkeypatch):
  monkeypatch.setattr(
    multihost.jax.distributed,
    'initialize',
    lambda *_, **__: (_ for _ in ()).throw(RuntimeError('deadline exceeded')),
  )
  with pytest.raises(UserError, match=r'deadline exceeded.*--coordinator'):
    multihost.connect('127.0.0.1:1', 2, 1)


def test_a_log_line_of_a_single_process_has_the_time(capsys):
  logs.write('A message.')
  assert re.fullmatch(f'{TIME} A message\\.\n', capsys.readouterr().out)
