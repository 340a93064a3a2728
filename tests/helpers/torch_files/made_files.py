"""Files in the form of PyTorch's, made without PyTorch."""

import io
import pickle
import struct
import zipfile

MAGIC = 0x1950A86A20F9469CFC6C


class Global:
  """Is pickled as the global of this name, or as a call of it."""

  def __init__(self, name, *args, state=None):
    self.name, self.args, self.state = name, args, state


class Storage:
  def __init__(self, key, values, kind):
    self.key, self.values, self.kind = key, values, kind


class Pickler(pickle._Pickler):
  """Writes objects of the two classes above as `torch.save` does."""

  def persistent_id(self, obj):
    if isinstance(obj, Storage):
      kind = Global(f'torch.{obj.kind}')
      return ('storage', kind, obj.key, 'cpu', obj.values.size)
    return None

  def save(self, obj, save_persistent_id=True):
    if not isinstance(obj, Global):
      return super().save(obj, save_persistent_id)
    module, name = obj.name.rsplit('.', 1)
    self.write(f'c{module}\n{name}\n'.encode())
    if obj.args:
      self.save(obj.args)
      self.write(pickle.REDUCE)
    if obj.state:
      self.save(obj.state)
      self.write(pickle.BUILD)


def tensor(storage, offset, shape, strides):
  return Global(
    'torch._utils._rebuild_tensor_v2',
    *(storage, offset, shape, strides, False, {}),
  )


def dump(obj):
  file = io.BytesIO()
  Pickler(file, 2).dump(obj)
  return file.getvalue()


def legacy(obj, storages=()):
  system = {'protocol_version': 1001, 'little_endian': True}
  pickles = (MAGIC, 1001, system, obj, [s.key for s in storages])
  data = [
    struct.pack('<q', s.values.size) + s.values.tobytes() for s in storages
  ]
  return b''.join([*map(dump, pickles), *data])


def archive(obj, storages=(), compression=zipfile.ZIP_STORED):
  return zipped(
    {
      'archive/data.pkl': dump(obj),
      'archive/byteorder': b'little',
      **{f'archive/data/{s.key}': s.values.tobytes() for s in storages},
      'archive/version': b'3\n',
    },
    compression,
  )


def zipped(members, compression=zipfile.ZIP_STORED):
  """A zip file without the time at which it was made."""
  file = io.BytesIO()
  with zipfile.ZipFile(file, 'w') as writer:
    for name, content in members.items():
      writer.writestr(zipfile.ZipInfo(name), content, compression)
  return file.getvalue()
