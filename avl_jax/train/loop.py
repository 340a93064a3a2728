"""The training loop: what a run does, in the order in which it does it."""

import collections
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tqdm

from avl_jax import multihost, parallel
from avl_jax.checkpoints.checkpointer import Checkpoints
from avl_jax.errors import UserError
from avl_jax.train.preemption import Interrupted, Stop, watchdog
from avl_jax.train.step import TrainState
from avl_jax.train.timing import Clock

Tree = Any


@dataclasses.dataclass(kw_only=True, eq=False)
class Loop:
  """A training run, put together from its parts.

  Attributes:
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

  def run(self, state: TrainState) -> TrainState:
    """Trains from `state.step` to `num_steps`.

    A run that was interrupted anywhere and goes on from its last checkpoint
    ends with the state and the metrics of the unbroken run, to the bit, but for
    what measures time.

    Args:
      state: of `create_state`, or restored; its memory is reused.

    Returns:
      The last state.

    Raises:
      UserError: `max_skipped` steps in a row were not finite, or a checkpoint
        could not be written.
      Interrupted: the run was asked to stop, and its state is saved.
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
      print(f'nothing to train: step {first} of {self.num_steps} is done')
    self._meter = _Meter(
      self.clock, self.checkpoints.progress.get('metrics', ())
    )
    with self.clock.section('start'):
      # Only the first host knows: the others have no checkpoints.
      evaluated = multihost.largest(int(self.checkpoints.evaluated))
    if self._due(first, self.eval_every) and not evaluated:
      # Chance and a first try of all that evaluation needs, or what an
      # interruption left out.
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
      state, metrics, asked = self._step(state, batch)
      self._log(done, metrics, batch, ids.popleft())
      scores = {}
      if self._due(done, self.eval_every) and not asked:
        try:
          scores = self._score(state)
          with self.clock.section('evaluation'):  # Other hosts may be slower.
            asked = self.stop.asked()
        except Interrupted as interrupted:
          asked = interrupted.number
      if scores or asked or self._due(done, self.save_every):
        self._record(state, scores)
      if asked:
        raise Interrupted(asked)
    return state

  def _due(self, step: int, every: int) -> bool:
    return step % every == 0 or step == self.num_steps

  def _step(self, state: TrainState, batch: Tree) -> tuple:
    """The new state, metrics, and the number of a signal that came, or 0."""
    with self.clock.section('step'), watchdog(self.step_timeout):
      state, metrics = self.step(state, batch)
      # Waiting here also keeps fake devices on few cores from deadlocking.
      metrics = {name: float(value) for name, value in metrics.items()}
      asked = self.stop.asked()
      self.clock.beat()
    return state, metrics, asked

  def _log(
    self, done: int, metrics: dict[str, float], batch: Tree, ids: np.ndarray
  ) -> None:
    """Notes the metrics of a step; writes their means when it is time."""
    with self.clock.section('log'):
      self._meter.add(metrics, batch['num_frames'].size)
      if metrics['skipped']:
        _skip(done, metrics, ids, self.writer, self.max_skipped)
      if self._due(done, self.log_every):
        scalars = self._meter.read()
        self.writer.write_scalars(done, scalars)
        self._bar.set_postfix(loss=f'{scalars["loss"]:.3f}', refresh=False)
      self._bar.update()

  def _score(self, state: TrainState) -> dict[str, float]:
    with self.clock.section('evaluation'):
      scores = self.evaluate(state.variables)
    self.checkpoints.check(scores)
    return scores

  def _record(self, state: TrainState, scores: dict[str, float]) -> None:
    """Scores and times into the logs; they and the state onto the disk."""
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
  names = '\n'.join(dict.fromkeys(multihost.from_all(ids).tolist()))
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
      'the log calls skipped, or try a smaller learning rate; the first of the '
      f'last are {names[:200].splitlines()}'
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
