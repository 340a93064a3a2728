"""The training loop: what a run does, in the order in which it does it."""

import collections
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tqdm

from avl_jax import UserError, hosts, parallel
from avl_jax.accounting import Clock
from avl_jax.checkpoint import Checkpoints
from avl_jax.interruption import Interrupted, Stop, watchdog
from avl_jax.train import TrainState

Tree = Any


def train_and_evaluate(
  *,
  state: TrainState,
  step: Callable,
  batches: Callable[[int, int], Any],
  evaluate: Callable[[Tree], dict[str, float]],
  writer: Any,
  checkpoints: Checkpoints,
  clock: Clock,
  stop: Stop,
  num_steps: int,
  log_every: int,
  eval_every: int,
  save_every: int,
  max_skipped: int,
  step_timeout: float = 0,
) -> TrainState:
  """Trains from `state.step` to `num_steps`.

  A run that was interrupted anywhere and goes on from its last checkpoint ends
  with the state and the metrics of the unbroken run, to the bit, but for what
  measures time.

  Args:
    state: of `create_state`, or restored.
    step: of `parallel.pmap_step`.
    batches: batches(first, last) yields the batches of those steps.
    evaluate: variables -> scalars; called before the first step, every
      `eval_every` steps and after the last.
    writer: with clu's `write_scalars(step, scalars)`, `write_texts` and
      `flush()`.
    checkpoints: written after each evaluation, every `save_every` steps, and
      when the run is asked to stop.
    clock: counts where the time goes.
    stop: says when the run is asked to stop.
    num_steps: steps of the whole run.
    log_every: steps over which loss and speed are averaged.
    eval_every: steps between evaluations.
    save_every: steps between checkpoints.
    max_skipped: so many steps in a row may change nothing because of numbers
      that are not finite.
    step_timeout: seconds that a step may take, the first with its compilation,
      before the process gives up; 0: any time.

  Returns:
    The last state.

  Raises:
    UserError: `max_skipped` steps in a row were not finite, or a checkpoint
      could not be written.
    Interrupted: the run was asked to stop, and its state is saved.
  """
  first = int(state.step)
  meter = _Meter(clock, checkpoints.progress.get('metrics', ()))

  def score() -> dict[str, float]:
    with clock.section('evaluation'):
      scalars = evaluate(state.variables)
    checkpoints.check(scalars)
    return scalars

  def record(scores: Mapping[str, float]) -> None:
    """Scores and times into the logs, then the state, and them, on the disk."""
    with clock.section('log'):
      writer.write_scalars(int(state.step), scores | clock.scalars())
      writer.flush()
    with clock.section('save'):
      progress = {'metrics': meter.metrics, 'seconds': clock.seconds()}
      checkpoints.save(state, scores, progress)

  if _due(first, eval_every, num_steps) and not checkpoints.evaluated:
    # Chance and a first try of all that evaluation needs, or what an
    # interruption left out.
    record(score())
  stream, ids = _prefetch(batches(first, num_steps))
  bar = tqdm.tqdm(
    desc='train',
    unit='step',
    initial=first,
    total=num_steps,
    disable=not hosts.is_first(),
  )
  for done in range(first + 1, num_steps + 1):
    with clock.section('data'):
      batch = next(stream)
    with clock.section('step'), watchdog(step_timeout):
      state, metrics = step(state, batch)
      # Waiting here also keeps fake devices on few cores from deadlocking.
      metrics = {name: float(value) for name, value in metrics.items()}
      asked = stop.asked()
    clock.beat()
    bar.update()
    meter.add(metrics, batch['num_frames'].size)
    names = ids.popleft()
    if metrics['skipped']:
      _skip(done, metrics, names, writer, max_skipped)
    if _due(done, log_every, num_steps):
      with clock.section('log'):
        scalars = meter.read()
        writer.write_scalars(done, scalars)
        bar.set_postfix(loss=f'{scalars["loss"]:.3f}')
    scores = {}
    if _due(done, eval_every, num_steps) and not asked:
      try:
        scores = score()
      except Interrupted as interrupted:
        asked = interrupted.number
    if scores or asked or _due(done, save_every, num_steps):
      record(scores)
    if asked:
      raise Interrupted(asked)
  bar.close()
  return state


def _due(step: int, every: int, last: int) -> bool:
  return step % every == 0 or step == last


def _prefetch(batches: Any) -> tuple[Iterator[Tree], collections.deque]:
  """Batches on their way to the devices, and their ids, which stay here."""
  ids = collections.deque()

  def inputs() -> Iterator[dict]:
    for batch in batches:
      ids.append(batch['id'])
      yield {key: value for key, value in batch.items() if key != 'id'}

  return parallel.prefetch(inputs()), ids


def _skip(
  step: int,
  metrics: Mapping[str, float],
  ids: np.ndarray,
  writer: Any,
  max_skipped: int,
) -> None:
  """Notes a step that changed nothing; too many raise UserError."""
  names = ' '.join(dict.fromkeys(hosts.from_all(ids).tolist()))
  writer.write_texts(step, {'skipped': names})
  tqdm.tqdm.write(
    f'step {step} changed nothing: not all of its numbers were finite (loss '
    f'{metrics["loss"]:.4g}, gradient norm {metrics["gradient_norm"]:.4g})'
  )
  if metrics['skipped'] >= max_skipped:
    writer.flush()
    raise UserError(
      f'{max_skipped} steps in a row, up to step {step}, were not finite. The '
      'last checkpoint is good. Look for bad features among the examples that '
      f'the log calls skipped, or try a smaller learning rate; the last were '
      f'{names[:200]}'
    )


class _Meter:
  """Means of the steps' metrics, speed and waiting time between two reads.

  Attributes:
    metrics: of the steps since the last read, as JSON can hold them.
  """

  def __init__(self, clock: Clock, metrics: Iterable[dict]):
    self.metrics = list(metrics)
    self._clock, self._clips, self._since = clock, 0, clock.seconds()

  def add(self, metrics: Mapping[str, float], clips: int) -> None:
    self.metrics.append(dict(metrics))
    self._clips += clips

  def read(self) -> dict[str, float]:
    """Means of the finite steps, how many were not, clips/s, share waited."""
    good = [metrics for metrics in self.metrics if not metrics['skipped']]
    scalars = {
      name: float(np.mean([metrics[name] for metrics in good]))
      if good
      else math.nan
      for name in ('loss', 'gradient_norm')
    }
    scalars['skipped_steps'] = float(len(self.metrics) - len(good))
    now = self._clock.seconds()
    passed = {key: now[key] - self._since[key] for key in ('data', 'step')}
    seconds = sum(passed.values())
    scalars['clips_per_second'] = self._clips / seconds
    scalars['waiting_for_data'] = passed['data'] / seconds
    self.metrics, self._clips, self._since = [], 0, now
    return scalars
