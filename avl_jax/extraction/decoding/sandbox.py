"""Limits that a process sets itself before it decodes an untrusted file.

The limits of the system (`resource`) hold on Linux and, but for memory, on
macOS. On Linux a filter of system calls (seccomp) also permits only what
decoding needs: the descriptors that are open, memory, threads and clocks. No
file, connection, program or process can be opened, made, changed or named,
whatever code runs. It needs neither rights nor a package. Landlock, which
forbids files by path, would add nothing to it.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys

_THREAD = 0x10000  # CLONE_THREAD of clone's flags
_SET_DEATH_SIGNAL, _SET_NAME, _NO_NEW_PRIVILEGES = 1, 15, 38  # of prctl
# Of seccomp: a filter; of threads that exist, too; and without the protection
# from Spectre that would slow older kernels down: there is nothing to be spied
# out in this process.
_FILTER, _FLAGS = 1, 1 | 4
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000  # a filter's answers
# Offsets of the number, the architecture and the first argument of a call.
_NUMBER, _ARCHITECTURE, _ARGUMENT = 0, 4, 16
_LOAD, _IF_EQUAL, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
# Numbers of system calls: x86_64, then aarch64 (None: it has no such call).
_CALLS = {
  'read': (0, 63),
  'write': (1, 64),
  'close': (3, 57),
  'fstat': (5, 80),
  'lseek': (8, 62),
  'mmap': (9, 222),
  'mprotect': (10, 226),
  'munmap': (11, 215),
  'brk': (12, 214),
  'rt_sigaction': (13, 134),
  'rt_sigprocmask': (14, 135),
  'rt_sigreturn': (15, 139),
  'pread64': (17, 67),
  'sched_yield': (24, 124),
  'mremap': (25, 216),
  'madvise': (28, 233),
  'nanosleep': (35, 101),
  'getpid': (39, 172),
  'sendto': (44, 206),
  'recvfrom': (45, 207),
  'sendmsg': (46, 211),
  'recvmsg': (47, 212),
  'exit': (60, 93),
  'gettimeofday': (96, 169),
  'getrusage': (98, 165),
  'sysinfo': (99, 179),
  'gettid': (186, 178),
  'time': (201, None),
  'futex': (202, 98),
  'sched_getaffinity': (204, 123),
  'restart_syscall': (219, 128),
  'clock_gettime': (228, 113),
  'clock_getres': (229, 114),
  'clock_nanosleep': (230, 115),
  'exit_group': (231, 94),
  'set_robust_list': (273, 99),
  'getcpu': (309, 168),
  'getrandom': (318, 278),
  'membarrier': (324, 283),
  'rseq': (334, 293),
}
_CONDITIONAL = {  # by the first argument, see `_program`
  'clone': (56, 220),
  'clone3': (435, 435),
  'prctl': (157, 167),
  'tgkill': (234, 131),
  'prlimit64': (302, 261),
}
_SECCOMP = (317, 277)
_MACHINES = {'x86_64': (0, 0xC000003E), 'aarch64': (1, 0xC00000B7)}


def die_with_parent() -> None:
  """Has the system kill this process when its parent has ended (Linux)."""
  if sys.platform == 'linux':
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def lock(memory: int, descriptors: int) -> list[str]:
  """Limits this process for the rest of its life.

  Args:
    memory: bytes of address space beside what is in use now.
    descriptors: number of descriptors that may be open.

  Returns:
    What the system cannot limit: 'memory', 'opening of files and connections'.
  """
  lacking = []
  limits = {
    'RLIMIT_NOFILE': descriptors,
    'RLIMIT_FSIZE': 0,  # No file grows.
    'RLIMIT_CORE': 0,
  }
  if sys.platform == 'linux':
    with open('/proc/self/statm') as file:
      pages = int(file.read().split()[0])
    limits['RLIMIT_AS'] = memory + pages * resource.getpagesize()
  else:
    lacking.append('memory')
  for name, value in limits.items():
    kind = getattr(resource, name)
    most = resource.getrlimit(kind)[1]
    least = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(kind, (least, least))
  if not _filter_calls():
    lacking.append('opening of files and connections')
  return lacking


def limit_processor(seconds: float) -> None:
  """Ends this process after so many more seconds of processor time."""
  usage = resource.getrusage(resource.RUSAGE_SELF)
  total = int(usage.ru_utime + usage.ru_stime + seconds) + 1
  most = resource.getrlimit(resource.RLIMIT_CPU)[1]
  if most != resource.RLIM_INFINITY:
    total = min(total, most)
  resource.setrlimit(resource.RLIMIT_CPU, (total, most))


def _filter_calls() -> bool:
  """Forbids all system calls but those above; whether that is possible."""
  if sys.platform != 'linux' or platform.machine() not in _MACHINES:
    return False
  column, architecture = _MACHINES[platform.machine()]
  code = _program(column, architecture)
  buffer = ctypes.create_string_buffer(code, len(code))
  program = struct.pack('@HP', len(code) // 8, ctypes.addressof(buffer))
  libc = ctypes.CDLL(None, use_errno=True)
  if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
    return False
  return not libc.syscall(_SECCOMP[column], _FILTER, _FLAGS, program)


def _program(column: int, architecture: int) -> bytes:
  """The filter in the machine language of BPF."""
  lines = [
    (_LOAD, 0, 0, _ARCHITECTURE),
    (_IF_EQUAL, 1, 0, architecture),
    (_RETURN, 0, 0, _KILL),
    (_LOAD, 0, 0, _NUMBER),
  ]
  for numbers in _CALLS.values():
    if numbers[column] is not None:
      lines += [
        (_IF_EQUAL, 0, 1, numbers[column]),
        (_RETURN, 0, 0, _ALLOW),
      ]
  calls = {name: numbers[column] for name, numbers in _CONDITIONAL.items()}
  # The C library then uses clone, whose flags a filter can see.
  lines += [
    (_IF_EQUAL, 0, 1, calls['clone3']),
    (_RETURN, 0, 0, _FAIL | errno.ENOSYS),
  ]
  for name, test, value in (
    ('clone', _IF_ANY_BIT, _THREAD),  # threads, no processes
    ('prctl', _IF_EQUAL, _SET_NAME),  # of a thread
    ('tgkill', _IF_EQUAL, os.getpid()),  # abort
    ('prlimit64', _IF_EQUAL, 0),  # of this process
  ):
    lines += [
      (_IF_EQUAL, 0, 4, calls[name]),
      (_LOAD, 0, 0, _ARGUMENT),
      (test, 0, 1, value),
      (_RETURN, 0, 0, _ALLOW),
      (_RETURN, 0, 0, _FAIL | errno.EPERM),
    ]
  lines.append((_RETURN, 0, 0, _FAIL | errno.EPERM))
  return b''.join(struct.pack('=HBBI', *line) for line in lines)
