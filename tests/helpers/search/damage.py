"""Ways in which a file of an index may be damaged."""


def flip(path):
  """Changes a bit in the middle."""
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 4
  path.write_bytes(content)


DAMAGE = {
  'flipped': flip,
  'cut': lambda path: path.write_bytes(path.read_bytes()[:-1]),
  'empty': lambda path: path.write_bytes(b''),
  'zeros': lambda path: path.write_bytes(bytes(path.stat().st_size)),
  'missing': lambda path: path.unlink(),
  'a folder': lambda path: (path.unlink(), path.mkdir()),
}
