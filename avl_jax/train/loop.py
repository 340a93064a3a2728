"""Training loop: steps, evaluations, logs and checkpoints, in their order."""

import collections
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tqdm

from avl_jax import logs, multihost, parallel
from avl_jax.checkpoints.checkpointer import Checkpoints
from avl_jax.errors import Interrupted, UserError
from avl_jax.train.preemption import Stop, watchdog
from avl_jax.train.step import TrainState
from avl_jax.train.timing import Clock

Tree = Any


@dataclasses.dataclass(kw_only=True, eq=False)
class Loop:
  """Training run, assembled from its parts.

  Attributes:
    step: from `parallel.pmap_step`.
    batches: batches(first, last) yields the batches of those steps.
    evaluate: variables -> scalars; called before the first step, every
      `eval_every` steps and after the last.
    writer: metric writer with clu's `write_scalars(step, scalars)`,
      `write_texts` and `flush()`.
    checkpoints: written after each evaluation, every `save_every` steps, and
      when a stop is requested.
    clock: measures the time by section.
    stop: tells whether a stop is requested.
    num_steps: steps of the whole run.
    log_every: steps over which loss and speed are averaged.
    eval_every: steps between evaluations.
    save_every: steps between checkpoints.
    max_skipped: number of consecutive skipped steps that ends the run.
    learning_rate: state -> {'learning_rate': of its last step}, to be logged.
    step_timeout: seconds that a step may take, the first with its compilation,
      before the process ends; 0: no limit.
  """

  step: Callable
  batches: Callable[[int, int], Any]
  evaluate: Callable[[Tree], dict[str, float]]
  writer: Any
  checkpoints: Checkpoints
  clock: Clock
  stop: Stop
  num_steps: int
  log_every: int
  eval_every: int
  save_every: int
  max_skipped: int
  step_timeout: float = 0
  learning_rate: Callable[[TrainState], dict] = lambda state: {}

  def run(self, state: TrainState) -> TrainState:
    """Trains from `state.step` to `num_steps`.

    A run that was interrupted anywhere and resumes from its last checkpoint
    ends with the state and the metrics of an uninterrupted run, bit for bit,
    except for measurements of time.

    Args:
      state: from `create_state`, or restored; its memory is reused.

    Returns:
      The last state.

    Raises:
      UserError: `max_skipped` consecutive steps were skipped, or a checkpoint
        could not be written.
      Interrupted: a stop was requested, and the state is saved.
    """
    try:
      return self._train(state)
    finally:
      with self.clock.section('save'):
        self.checkpoints.wait()
      if multihost.is_first():
        print(self.clock.table())

  def _train(self, state: TrainState) -> TrainState:
    first = int(state.step)
    if first >= self.num_steps:
      if multihost.is_first():
        logs.write(f'Training is complete ({first} of {self.num_steps} steps).')
    elif first:
      logs.write(f'Resuming after step {first} of {self.num_steps}.')
    self._meter = _Meter(
      self.clock, self.checkpoints.progress.get('metrics', ())
    )
    with self.clock.section('start'):
      # From process 0: the others have no checkpoints.
      evaluated = multihost.largest(int(self.checkpoints.evaluated))
    if self._due(first, self.eval_every) and not evaluated:
      # Scores of the initial variables, which also tests the evaluation
      # early; or the evaluation that an interruption left out.
      self._record(state, self._score(state))
    with tqdm.tqdm(
      desc='train',
      unit='step',
      initial=first,
      total=self.num_steps,
      disable=not multihost.is_first(),
    ) as self._bar:
      return self._steps(state, first)

  def _steps(self, state: TrainState, first: int) -> TrainState:
    stream, ids = _prefetch(self.batches(first, self.num_steps))
    for done in range(first + 1, self.num_steps + 1):
      with self.clock.section('data'):
        batch = next(stream)
      state, metrics, number = self._step(state, batch)
      self._log(state, metrics, batch, ids.popleft())
      scores = {}
      if self._due(done, self.eval_every) and not number:
        try:
          scores = self._score(state)
          # Waits for the other processes, which may be slower.
          with self.clock.section('evaluation'):
            number = self.stop.requested()
        except Interrupted as interrupted:
          number = interrupted.number
      if scores or number or self._due(done, self.save_every):
        self._record(state, scores)
      if number:
        raise Interrupted(number)
    return state

  def _due(self, step: int, every: int) -> bool:
    return step % every == 0 or step == self.num_steps

  def _step(self, state: TrainState, batch: Tree) -> tuple:
    """Returns the new state, metrics, and the number of a signal, or 0."""
    with self.clock.section('step'), watchdog(self.step_timeout):
      state, metrics = self.step(state, batch)
      # Waiting here also keeps virtual devices on few cores from deadlocking.
      metrics = {name: float(value) for name, value in metrics.items()}
      number = self.stop.requested()
      self.clock.beat()
    return state, metrics, number

  def _log(
    self, state: TrainState, metrics: dict, batch: Tree, ids: np.ndarray
  ) -> None:
    """Records the metrics of a step; writes means every `log_every` steps."""
    done = int(state.step)
    with self.clock.section('log'):
      self._meter.add(metrics, batch['num_frames'].size)
      if metrics['skipped']:
        _log_skipped(done, metrics, ids, self.writer, self.max_skipped)
      if self._due(done, self.log_every):
        scalars = self._meter.read() | self.learning_rate(state)
        self.writer.write_scalars(done, scalars)
        self._bar.set_postfix(loss=f'{scalars["loss"]:.3f}', refresh=False)
      self._bar.update()

  def _score(self, state: TrainState) -> dict[str, float]:
    with self.clock.section('evaluation'):
      scores = self.evaluate(state.variables)
    self.checkpoints.check(scores)
    return scores

  def _record(self, state: TrainState, scores: dict[str, float]) -> None:
    """Writes scores and times to the log, and a checkpoint with the scores."""
    with self.clock.section('log'):
      self.writer.write_scalars(int(state.step), scores | self.clock.scalars())
      self.writer.flush()
    with self.clock.section('save'):
      progress = {
        'metrics': self._meter.metrics,
        'seconds': self.clock.seconds(),
      }
      self.checkpoints.save(state, scores, progress)


def _prefetch(batches: Any) -> tuple[Iterator[Tree], collections.deque]:
  """Batches copied to the devices in advance, and a queue of their ids."""
  ids = collections.deque()

  def inputs() -> Iterator[dict]:
    for batch in batches:
      ids.append(batch['id'])
      yield {key: value for key, value in batch.items() if key != 'id'}

  return parallel.prefetch(inputs()), ids


def _log_skipped(
  step: int,
  metrics: Mapping[str, float],
  ids: np.ndarray,
  writer: Any,
  max_skipped: int,
) -> None:
  """Logs a skipped step; raises UserError after `max_skipped` of them."""
  names = '\n'.join(dict.fromkeys(multihost.from_all(ids).tolist()))
  writer.write_texts(step, {'skipped': names})
  logs.write(
    f'Skipped step {step}: non-finite values (loss {metrics["loss"]:.4g}, '
    f'gradient norm {metrics["gradient_norm"]:.4g}).'
  )
  if metrics['skipped'] >= max_skipped:
    writer.flush()
    raise UserError(
      f'{max_skipped} consecutive steps, up to step {step}, had non-finite '
      'values. The last checkpoint is good. Look for bad features in the '
      "examples under 'skipped' in metrics.jsonl, or try a smaller learning "
      f'rate. The last batch starts with {names[:200].splitlines()}.'
    )


class _Meter:
  """Averages metrics, speed and waiting time of the steps between two reads.

  Attributes:
    metrics: JSON values, one dict per step since the last read.
  """

  def __init__(self, clock: Clock, metrics: Iterable[dict]):
    self.metrics = list(metrics)
    self._clock, self._clips, self._since = clock, 0, clock.seconds()

  def add(self, metrics: Mapping[str, float], clips: int) -> None:
    self.metrics.append(dict(metrics))
    self._clips += clips

  def read(self) -> dict[str, float]:
    """Means of the steps not skipped, number skipped, clips/s, share waited."""
    good = [metrics for metrics in self.metrics if not metrics['skipped']]
    scalars = {
      name: float(np.mean([metrics[name] for metrics in good]))
      if good
      else math.nan
      for name in ('loss', 'gradient_norm')
    }
    scalars['skipped_steps'] = float(len(self.metrics) - len(good))
    now = self._clock.seconds()
    data, step = (now[key] - self._since[key] for key in ('data', 'step'))
    scalars['clips_per_second'] = self._clips / (data + step)
    scalars['waiting_for_data'] = data / (data + step)
    self._clock.advise(data, step)
    self.metrics, self._clips, self._since = [], 0, now
    return scalars
