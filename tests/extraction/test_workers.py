"""Threads with decoders: what is done, when they end, what they say."""

import itertools
import threading

import pytest

from avl_jax.extraction import workers
from avl_jax.extraction.decoding import process as decoding_process
from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.extraction.decoding.limits import Limits
from avl_jax.extraction.workers import Workers
from avl_jax.features import UnexpectedError
from tests.helpers import fake_decoders


@pytest.fixture
def fakes(monkeypatch):
  monkeypatch.setattr(decoding_process, '_MODULE', fake_decoders.__name__)


def _frames(path, decoder):
  return decoder.run(path, lambda media: [*media.frames(1, 8, True, 0, 60)])


def test_each_job_is_done_once_and_three_at_a_time():
  together, used = threading.Barrier(3), {}

  def work(job, decoder):
    if job < 3:  # Ends only if three threads come here.
      together.wait(timeout=60)
    used[job] = decoder

  with Workers(3) as three:
    done = [*three.each(range(20), work)]
  assert sorted(done) == [*range(20)]
  assert {used[job] for job in range(3)} == {*three.decoders}
  assert not any(thread.is_alive() for thread in three._threads)


@pytest.mark.parametrize('error', [ValueError('of a job'), SystemExit(3)])
def test_an_error_ends_all(error):
  def work(job, decoder):
    del decoder
    if job == 50:
      raise error

  done = []
  with pytest.raises(type(error)) as caught, Workers(2) as two:
    done.extend(two.each(itertools.count(), work))
  assert caught.value is error
  assert not any(thread.is_alive() for thread in two._threads)


def test_an_error_of_the_jobs_is_raised():
  def jobs():
    yield 1
    raise ValueError('no more')

  with pytest.raises(ValueError, match='no more'), Workers(2) as two:
    [*two.each(jobs(), lambda *_: None)]


@pytest.mark.usefixtures('fakes')
def test_a_file_in_the_middle_fails_when_the_work_ends(tmp_path, monkeypatch):
  """The limits would let it hang for ten minutes."""
  hanging, errors = threading.Event(), []
  (tmp_path / 'hang').write_text('film')
  monkeypatch.setattr(
    decoding_process.DecodingProcess, '_show', lambda *_: hanging.set()
  )

  def work(job, decoder):
    if job == 'end':
      assert hanging.wait(60)
      raise KeyboardInterrupt
    with pytest.raises(UnexpectedError, match='SIGKILL') as error:
      _frames(tmp_path / 'hang', decoder)
    errors.append(error)
    with pytest.raises(RuntimeError, match='has been stopped') as error:
      _frames(tmp_path / 'hang', decoder)
    errors.append(error)

  limits = Limits(wall_seconds=600, stall_seconds=600)
  with pytest.raises(KeyboardInterrupt), Workers(2, Decoder(limits)) as two:
    [*two.each(['hang', 'end'], work)]
  assert len(errors) == 2
  assert all(decoder._child is None for decoder in two.decoders)


@pytest.mark.usefixtures('fakes')
def test_the_limits_are_told_once(tmp_path, capsys):
  together = threading.Barrier(2)
  (tmp_path / 'good').write_text('film')
  found = []

  def work(job, decoder):
    del job
    together.wait(timeout=60)
    found.append(len(_frames(tmp_path / 'good', decoder)))

  with Workers(2) as two:
    assert len([*two.each(range(2), work)]) == 2
  assert found == [20, 20]
  assert capsys.readouterr().out.count('Media are decoded in a child') == 1


def test_the_number_of_workers(monkeypatch):
  assert workers.number(5) == 5
  for cores, count in ((1, 1), (2, 1), (8, 7)):
    monkeypatch.setattr(
      workers.os,
      'sched_getaffinity',
      lambda _, cores=cores: range(cores),
      raising=False,
    )
    assert workers.number(0) == count
