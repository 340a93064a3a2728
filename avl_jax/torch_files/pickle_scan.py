"""Scans a pickled dictionary: which shared values are needed again much later.

A pickle numbers (memoizes) each string and container, in case that it is needed
again. Of captions of a million videos these are a hundred million strings, of
which three are: 'start', 'end' and 'text'. The scan finds them, so that the
reader can forget all others after each batch of items.

A batch is what one SETITEM or SETITEMS puts into the outermost dictionary:
pickles of Python have up to 1000 items in each, in protocol 0 one.
"""

import pickle
import pickletools
import re

from avl_jax.torch_files.errors import ReleaseError
from avl_jax.torch_files.window import Window

LARGEST_BATCH = 2**30  # bytes of memory
# Bytes of memory that an opcode takes at most besides its argument: an empty
# dictionary, its place on the stack and its number. A float takes a third.
_PER_OPCODE = 128
MOST_SHARED = 2**22  # values that one batch makes and another needs
# A run of floats, each an opcode and eight bytes.
FLOATS = re.compile(rb'(?:G.{8})++', re.DOTALL)
# The same in protocol 0: a line each, which is appended to a list.
FLOAT_LINES = re.compile(rb'(?:F[0-9.e+-]{1,30}\na)++')
# No opcode but those with strings reaches further.
MARGIN = 16

SETS = {pickle.SETITEM[0], pickle.SETITEMS[0]}
_FLOAT, _MEMOIZE = pickle.BINFLOAT[0], pickle.MEMOIZE[0]
_LONG_BINPUT, _FLOAT_LINE = pickle.LONG_BINPUT[0], pickle.FLOAT[0]
_MARK, _POP, _STOP = pickle.MARK[0], pickle.POP[0], pickle.STOP[0]
_NUMBERED = {  # opcode -> bytes of the number of a memoized value; 0: a line
  **{pickle.PUT[0]: 0, pickle.BINPUT[0]: 1, pickle.LONG_BINPUT[0]: 4},
  **{pickle.GET[0]: 0, pickle.BINGET[0]: 1, pickle.LONG_BINGET[0]: 4},
}
_GETS = {pickle.GET[0], pickle.BINGET[0], pickle.LONG_BINGET[0]}
_PREFIXES = {  # of an argument whose length precedes it: bytes of the length
  pickletools.TAKEN_FROM_ARGUMENT1: 1,
  pickletools.TAKEN_FROM_ARGUMENT4: 4,
  pickletools.TAKEN_FROM_ARGUMENT4U: 4,
  pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}


class _Form:
  """How long the argument of an opcode is, and what it does to the stack.

  Attributes:
    size: of the opcode and an argument of fixed length, in bytes.
    prefix: bytes of the length of the argument; 0: the length is fixed.
    lines: number of lines that the argument has.
    pops_mark: whether all is removed from the stack down to a mark.
    effect: number of values that are added to the stack, below the mark.
    is_simple: whether it has none of these and does nothing else.
  """

  def __init__(self, opcode: pickletools.OpcodeInfo):
    self.size, self.prefix, self.lines = 1, 0, 0
    if opcode.arg and opcode.arg.n >= 0:
      self.size += opcode.arg.n
    elif opcode.arg and opcode.arg.n == pickletools.UP_TO_NEWLINE:
      self.lines = 2 if opcode.arg.name.endswith('_pair') else 1
    elif opcode.arg:
      self.prefix = _PREFIXES[opcode.arg.n]
    before = opcode.stack_before
    self.pops_mark = pickletools.markobject in before
    if self.pops_mark:
      before = before[: before.index(pickletools.markobject)]
    self.effect = len(opcode.stack_after) - len(before)
    code = ord(opcode.code)
    self.is_simple = not (self.prefix or self.lines or self.pops_mark)
    self.is_simple &= code not in {_MARK, _POP, _STOP, *SETS, *_NUMBERED}


_FORMS = {ord(opcode.code): _Form(opcode) for opcode in pickletools.opcodes}


def shared_between_batches(window: Window) -> set[int]:
  """Scans a pickle up to its end, without building its values.

  Args:
    window: of the pickle, at its beginning.

  Returns:
    The numbers of the memoized values that are needed in another batch than the
    one in which they are made.

  Raises:
    ReleaseError: a batch is too large, or too many values are shared.
    Exception: the pickle is truncated or damaged; any type.
  """
  scan = _Scan(window)
  while not scan.is_done:
    scan.chunk()
  return scan.shared


class _Scan:
  """The state of a scan.

  Attributes:
    shared: as `shared_between_batches` returns it.
    is_done: whether the end of the pickle is reached.
  """

  def __init__(self, window: Window):
    self.shared: set[int] = set()
    self.is_done = False
    self._window = window
    self._made: set[int] = set()  # in this batch
    self._memoized = 0  # by opcodes that count
    self._is_numbered = False  # by opcodes that give the number
    self._marks: list[int] = []  # heights of the stack below each mark
    self._height = 0  # of the stack above the last mark
    self._opcodes, self._start = 0, 0  # of this batch; its offset in the file

  def chunk(self) -> None:
    """Scans what the window holds; the frequent opcodes are treated here."""
    window, made, forms = self._window, self._made, _FORMS
    window.move(window.at)
    content, at = window.content, window.at
    end = len(content) - (0 if window.is_last else MARGIN)
    if at >= end:
      raise EOFError('it has no end')
    while at < end:
      opcode = content[at]
      self._opcodes += 1
      form = forms[opcode]
      if form.prefix:
        size = content[at + 1 : at + 1 + form.prefix]
        at += 1 + form.prefix + int.from_bytes(size, 'little')
        self._height += 1
      elif opcode == _MEMOIZE:
        made.add(self._memoized)
        self._memoized += 1
        at += 1
      elif opcode == _LONG_BINPUT:
        made.add(int.from_bytes(content[at + 1 : at + 5], 'little'))
        self._is_numbered = True
        at += 5
      elif opcode == _FLOAT and (run := FLOATS.match(content, at)):
        count = (run.end() - at) // 9
        self._height += count
        self._opcodes += count // 3
        at = run.end()
      elif opcode == _FLOAT_LINE and (run := FLOAT_LINES.match(content, at)):
        self._opcodes += content.count(b'\n', at, run.end()) // 3
        at = run.end()
      elif form.is_simple:
        self._height += form.effect
        at += form.size
      else:
        window.at = at
        self._other(opcode, form)
        if self.is_done or window.content is not content:
          break
        at = window.at
    else:
      window.at = at
    self._check()

  def _other(self, opcode: int, form: _Form) -> None:
    """Scans an opcode that is rare, or has an argument of unknown length."""
    window = self._window
    window.at += form.size
    if opcode == _STOP:
      self.is_done = True
    elif opcode == _MARK:
      self._marks.append(self._height)
      self._height = 0
    elif opcode == _POP and not self._height:
      self._height = self._marks.pop()
    elif opcode in _NUMBERED:
      self._use(opcode)
    else:
      for _ in range(form.lines):
        window.readline()
      if form.pops_mark:
        self._height = self._marks.pop()
      self._height += form.effect
      if opcode in SETS and self._height == 1 and not self._marks:
        self._made.clear()
        self._opcodes, self._start = 0, window.offset + window.at

  def _use(self, opcode: int) -> None:
    """Scans an opcode that numbers a value or needs the value of a number."""
    window, width = self._window, _NUMBERED[opcode]
    window.at -= width
    text = window.read(width) if width else window.readline()
    number = int.from_bytes(text, 'little') if width else int(text)
    if opcode not in _GETS:
      self._made.add(number)
      self._is_numbered = True
      return
    self._height += 1
    if number not in self._made:
      self.shared.add(number)

  def _check(self) -> None:
    length = self._window.offset + self._window.at - self._start
    if self._start + length > self._window.size:
      raise EOFError('it claims more bytes than it has')
    if self._height < 0:
      raise ValueError('an opcode finds too few values')
    if self._memoized and self._is_numbered:
      raise ValueError('values are numbered in two ways')
    if self._opcodes * _PER_OPCODE + length > LARGEST_BATCH:
      raise ReleaseError(
        f'From byte {self._start} on, one piece would take more than '
        f'{LARGEST_BATCH} bytes of memory. Expected a dictionary of many small '
        'items.'
      )
    if len(self.shared) > MOST_SHARED:
      raise ReleaseError(
        f'More than {MOST_SHARED} values occur in several items. Expected a '
        'dictionary of items that have little in common. Write the dictionary '
        'as JSON.'
      )
