"""The profile of a step, of a small made-up trace."""

import collections

import jax

from benchmarks import profile_step

PROGRAM = """
  %cudnn-conv.5.0 = f32[8] custom-call(), metadata={op_name="jit(s)/stage4_/x"}
  ROOT %loop_add_fusion.2 = f32[8] fusion(), metadata={op_name="jit(s)/Adam"}
"""


def _trace(*events):
  """A trace of (name, start, end, operation or '') in nanoseconds."""
  names = {name: i for i, (name, *_) in enumerate(events, 1)}
  text = ['planes { name: "/device" stat_metadata {key: 1 value {name: ']
  text.append('"hlo_op"}}')
  for name, i in names.items():
    text.append(f'event_metadata {{key: {i} value {{id: {i} name: "{name}"}}}}')
  text.append('lines { id: 1')
  for name, start, end, operation in events:
    stat = f'stats {{metadata_id: 1 str_value: "{operation}"}}'
    text.append(
      f'events {{metadata_id: {names[name]} offset_ps: {1000 * start} '
      f'duration_ps: {1000 * (end - start)} {stat if operation else ""}}}'
    )
  return jax.profiler.ProfileData.from_text_proto('\n'.join([*text, '}}']))


def _times(*events):
  times = collections.Counter()
  for name, time in profile_step.operations(_trace(*events)):
    times[name] += time
  return dict(times)


def test_a_kernel_of_many_operations_and_an_operation_that_runs_often():
  # Both would be merged from first to last: 90 ns of a, none of which it ran.
  assert _times(
    ('kernel', 0, 10, 'a'),
    ('kernel', 20, 50, 'b'),
    ('kernel', 80, 90, 'a'),
  ) == {'a': 20, 'b': 30}


def test_operations_at_the_same_time_share_it():
  assert _times(('k', 0, 10, 'a'), ('l', 6, 16, 'b')) == {'a': 8, 'b': 8}
  assert _times(('k', 0, 10, 'a'), ('k', 0, 10, 'a')) == {'a': 10}


def test_an_operation_that_an_event_starts_ends_with_another_event():
  assert _times(
    ('a', 0, 1, 'a'),
    ('end: a', 9, 10, ''),
    ('a', 20, 21, 'a'),
    ('other', 22, 29, ''),
    ('end: a', 28, 30, ''),
    ('b', 40, 45, 'b'),
  ) == {'a': 20, 'b': 5}


def test_traces_write_underscores_for_points():
  paths = profile_step.sources(PROGRAM)
  for name in ('cudnn-conv.5.0', 'cudnn_conv_5_0'):
    assert paths[profile_step.plain(name)] == 'jit(s)/stage4_/x'
  part, kind, direction = profile_step.classify(
    paths[profile_step.plain('loop_add_fusion_2')]
  )
  assert (part, kind, direction) == ('optimizer', 'other', 'forward')
