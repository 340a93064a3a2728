"""Files, pictures and clips that the page shows."""

import io
import os

import av
import numpy as np
import pytest
from PIL import Image

from avl_jax.errors import ConfigError, UserError
from avl_jax.page import range_response
from avl_jax.page.cache import Cache
from avl_jax.page.options import Options
from avl_jax.page.playback import of_streams


@pytest.fixture(scope='module')
def files(client):
  """Name -> address of each file."""
  found = {}
  for answers in ('video', 'audio'):
    data = {'answers': answers, 'k': 50, 'text': 'anything'}
    response = client.post('api/v1/search', data=data).json()
    found |= {
      x['name']: f'api/v1/files/{x["file"]}' for x in response['answers']
    }
  assert len(found) == 5
  return found


def test_ranges(client, files, media_dir):
  content = (media_dir / 'sub/new.mp4').read_bytes()
  size = len(content)

  def get(**headers):
    return client.get(files['new.mp4'], headers=headers)

  whole = get()
  assert (whole.status_code, whole.content) == (200, content)
  assert whole.headers['accept-ranges'] == 'bytes'
  assert whole.headers['content-type'] == 'video/mp4'
  for given, expected in (
    ('bytes=0-0', content[:1]),
    ('bytes=100-199', content[100:200]),
    (f'bytes={size - 3}-', content[-3:]),
    ('bytes=-7', content[-7:]),
    (f'bytes=5-{10 * size}', content[5:]),
    ('Bytes=0-', content),
    ('BYTES= 2-3', content[2:4]),
  ):
    part = get(Range=given)
    assert (part.status_code, part.content) == (206, expected)
    assert part.headers['content-range'].endswith(f'/{size}')
  beyond = get(Range=f'bytes={size}-')
  assert beyond.status_code == 416
  assert beyond.headers['content-range'] == f'bytes */{size}'
  assert f'within its {size} bytes' in beyond.json()['error']
  assert beyond.headers['content-length'] == str(len(beyond.content))
  for given in (
    *('lines=1-2', 'bytes=a-b', 'bytes', 'bytes=5-2', 'x bytes=0-1'),
    *(f'bytes=0-{"9" * 5000}', f'bytes={"9" * 5000}-'),
  ):
    assert get(Range=given).status_code == 200
  tag = whole.headers['etag']
  assert get(**{'Range': 'bytes=0-9', 'If-Range': tag}).status_code == 206
  other = get(**{'Range': 'bytes=0-9', 'If-Range': '"other"'})
  assert (other.status_code, other.content) == (200, content)
  assert client.head(files['new.mp4']).headers['content-length'] == str(size)


def _shade(content: bytes) -> float:
  with Image.open(io.BytesIO(content)) as picture:
    return np.asarray(picture).mean()


@pytest.mark.parametrize('name', ['old.avi', 'new.mp4', 'lost.mkv'])
def test_a_frame_is_that_of_the_moment(client, files, name):
  """Second n of the videos of these tests has the shade 20 n."""
  for time in (0, 1.5, 2.9):
    response = client.get(f'{files[name]}/frame?t={time}')
    assert response.headers['content-type'] == 'image/jpeg'
    assert _shade(response.content) == pytest.approx(20 * int(time), abs=4)


def test_a_frame_beyond_the_end_is_the_last_one(client, files):
  response = client.get(f'{files["new.mp4"]}/frame?t=1000')
  assert _shade(response.content) == pytest.approx(60, abs=4)


def test_widths_of_frames(client, files):
  for asked, found in ((1, 160), (320, 320), (400, 640), (9000, 1280)):
    response = client.get(f'{files["old.avi"]}/frame?t=1&width={asked}')
    with Image.open(io.BytesIO(response.content)) as picture:
      assert picture.width <= found
      assert picture.width / picture.height == pytest.approx(64 / 48, abs=0.03)


def test_the_frame_of_a_picture_is_the_picture(client, files):
  response = client.get(f'{files["picture.png"]}/frame')
  assert _shade(response.content) == pytest.approx(90, abs=2)


def test_what_has_no_frames_or_clips(client, files):
  for path, said in (
    (f'{files["=sound.flac"]}/frame?t=1', 'no pictures'),
    (f'{files["picture.png"]}/clip?start=0&end=1', 'no clips'),
    (f'{files["old.avi"]}/clip?start=100&end=101', 'nothing from 100 s'),
  ):
    response = client.get(path)
    assert response.status_code == 422
    assert said in response.json()['error']
  for path in (
    *('clip?start=3&end=2', 'clip?start=0&end=61', 'clip?start=0'),
    *('clip?start=a&end=b', 'frame?t=-1', 'frame?t=nan', 'frame?t=1e9'),
  ):
    response = client.get(f'{files["old.avi"]}/{path}')
    assert response.status_code == 400, path
    assert 'Expected' in response.json()['error']


def _decoded(content):
  """Shades of the pictures with their times; seconds of the sound."""
  with av.open(io.BytesIO(content)) as container:
    names = {s.type: s.codec_context.name for s in container.streams}
    shades, samples = [], 0
    for frame in container.decode():
      if isinstance(frame, av.VideoFrame):
        shades.append((frame.time, frame.to_ndarray(format='gray').mean()))
      else:
        samples += frame.samples
  return names, shades, samples / 48_000


@pytest.mark.parametrize('name', ['old.avi', 'lost.mkv', 'new.mp4'])
def test_a_clip_begins_at_its_moment(client, files, name):
  """It is H.264 and AAC, whatever the file is."""
  response = client.get(f'{files[name]}/clip?start=1.5&end=2.75')
  assert response.headers['content-type'] == 'video/mp4'
  names, shades, seconds = _decoded(response.content)
  assert names == {'video': 'h264', 'audio': 'aac'}
  assert len(shades) == 10
  for time, shade in shades:
    assert shade == pytest.approx(20 * int(1.5 + time), abs=4)
  assert seconds == pytest.approx(1.25, abs=0.05)
  part = client.get(
    f'{files[name]}/clip?start=1.5&end=2.75', headers={'Range': 'bytes=4-7'}
  )
  assert (part.status_code, part.content) == (206, b'ftyp')


def test_what_is_deleted_while_it_is_sent_is_sent(app, client, files):
  """Or made again, if it is deleted before it is open."""
  address = f'{files["new.mp4"]}/clip?start=0.5&end=2.5'
  whole = client.get(address).content
  (shown,) = [x for x in app.app.routes if x.path.endswith('/clip')]
  cache = shown.endpoint.__self__._maker._cache
  (path,) = cache._folder.glob('*-0.5-2.5.mp4')
  with open(path, 'rb') as file, pytest.MonkeyPatch.context() as patch:
    real = os.fstat

    def delete(descriptor):
      path.unlink(missing_ok=True)
      return real(descriptor)

    patch.setattr(range_response.os, 'fstat', delete)
    assert client.get(address).content == whole
    assert not path.exists()
    finds = iter([path])
    patch.setattr(cache, 'find', lambda _: next(finds, None))
    ranges = {'Range': 'bytes=4-'}
    assert client.get(address, headers=ranges).content == whole[4:]
    patch.setattr(cache, 'find', lambda _: path)
    response = client.get(address)
    assert response.status_code == 503
    assert 'evicted the file' in response.json()['error']
    assert file.read() == whole
  assert client.get(address).content == whole


def test_a_clip_of_sound(client, files):
  response = client.get(f'{files["=sound.flac"]}/clip?start=2&end=5')
  names, shades, seconds = _decoded(response.content)
  assert (names, shades) == ({'audio': 'aac'}, [])
  assert seconds == pytest.approx(3, abs=0.05)


def test_about_a_file(client, files):
  about = client.get(f'{files["old.avi"]}/about').json()
  assert about['name'] == 'old.avi'
  assert about['duration'] == pytest.approx(12, abs=0.1)
  assert (about['plays'], about['language']) == ('transcoded', 'fr')


def test_files_are_found_by_id_only(client, media_dir):
  for path in (
    *('0' * 16, 'old.avi', '..', '%2e%2e%2fmanifest.csv', '..%2Fold.avi'),
    *('/etc/passwd', 'manifest.csv', '%00', '*', 'é'),
  ):
    response = client.get(f'api/v1/files/{path}')
    assert response.status_code in (404, 307), path
    assert b'root:' not in response.content
  for path in ('static/../options.py', 'static/%2e%2e/options.py'):
    assert client.get(path).status_code in (404, 307), path


def test_a_link_out_of_the_folder_is_not_followed(run, copied, tmp_path):
  from tests.page.api.conftest import client_of, made

  media_dir, index = copied()
  secret = tmp_path / 'secret.avi'
  secret.write_text('secret')
  with made(run, index, media_dir) as app, client_of(app) as client:
    data = {'text': 'anything', 'k': 50}
    found = client.post('api/v1/search', data=data).json()['answers']
    (id,) = {x['file'] for x in found if x['name'] == 'old.avi'}
    (media_dir / 'old.avi').unlink()
    (media_dir / 'old.avi').symlink_to(secret)
    response = client.get(f'api/v1/files/{id}')
    assert response.status_code == 404
    assert 'secret' not in response.text


def test_what_browsers_play():
  def plays(name, format, video='', audio='', pixels=''):
    streams = {
      'format': format,
      'video': video,
      'audio': audio,
      'pixels': pixels,
    }
    return of_streams(name, streams)

  mov, mkv = 'mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm'
  assert plays('a.mp4', mov, 'h264', 'aac', 'yuv420p') == 'native'
  assert plays('a.mp4', mov, 'h264', 'aac', 'yuv444p') == 'transcoded'
  assert plays('a.mp4', mov, 'h264', 'ac3', 'yuv420p') == 'transcoded'
  assert plays('a.mov', mov, 'mpeg4', 'aac', 'yuv420p') == 'transcoded'
  assert plays('a.webm', mkv, 'vp9', 'opus', 'yuv420p') == 'native'
  assert plays('a.mkv', mkv, 'vp9', 'opus', 'yuv420p') == 'transcoded'
  assert plays('a.mpg', 'mpeg', 'mpeg2video', 'mp2', 'yuv420p') == 'transcoded'
  assert plays('a.mp3', 'mp3', audio='mp3') == 'native'
  assert plays('a.ac3', 'ac3', audio='ac3') == 'transcoded'


def test_the_cache_is_bounded(tmp_path):
  """What was used last stays."""
  folder = tmp_path / 'cache'
  folder.mkdir()
  (folder / 'own.jpg').write_bytes(bytes(10**4))  # of somebody else
  os.utime(folder / 'own.jpg', ns=(0, 0))
  # Neither is a file of the server's, though the names are.
  (folder / 'avl-page-folder').mkdir()
  (folder / 'avl-page-link').symlink_to(folder / 'own.jpg')
  cache = Cache(folder, 1000)
  for number in range(50):
    cache.add(f'{number}', bytes(100))
    os.utime(cache.find(f'{number}'), ns=(number, number))
    if number == 3:
      first = cache.find('0')
      os.utime(first, ns=(10**9, 10**9))

  def size():
    files = [x for x in folder.glob('avl-page-*') if x.is_file()]
    return sum(x.stat().st_size for x in files if not x.is_symlink())

  assert 500 <= size() <= 1000
  assert cache.find('0')
  assert cache.find('49')
  assert not cache.find('1')
  again = Cache(folder, 1000)
  again.add('more', bytes(900))
  assert 900 <= size() <= 1000
  assert (folder / 'own.jpg').stat().st_size == 10**4
  assert (folder / 'avl-page-folder').is_dir()
  assert (folder / 'avl-page-link').is_symlink()


def test_what_cannot_be_kept_is_said(tmp_path):
  cache = Cache(tmp_path, 1000)
  with pytest.raises(UserError, match='cannot be written'):
    cache.add('x' * 300, b'')  # No file can have such a name.


def test_a_cache_that_cannot_be_is_said_early(tmp_path):
  (tmp_path / 'file').touch()
  for folder in (tmp_path / 'file', tmp_path / 'file/below'):
    with pytest.raises(ConfigError, match='cache_dir'):
      Options(cache_dir=str(folder)).check()
    with pytest.raises(ConfigError, match='cache_dir'):
      Cache(folder, 1000)
  Options(cache_dir=str(tmp_path / 'new/cache')).check()
  assert not (tmp_path / 'new').exists()  # A check makes nothing.
  Cache(tmp_path / 'new/cache', 1000).add('a', b'a')
