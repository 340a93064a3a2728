"""Splits of own videos: by content, with a least number, and stable."""

import hashlib

import numpy as np

from input_pipeline.datasets.own_videos import splits


def _digests(count):
  return [hashlib.sha256(str(i).encode()).hexdigest() for i in range(count)]


def test_a_tenth_each_is_held_out():
  found = splits.divide(dict.fromkeys(_digests(5000), ''))
  sizes = {s: list(found.values()).count(s) for s in splits.NAMES}
  assert 450 < sizes['val'] < 550
  assert 450 < sizes['test'] < 550
  for digest, split in found.items():
    number = int(digest, 16) / 16**64
    expected = 'test' if number < 0.1 else 'val' if number < 0.2 else 'train'
    assert split == expected


def test_a_small_collection_has_one_of_each():
  for count in (3, 5, 12):
    found = splits.divide(dict.fromkeys(_digests(count), ''))
    assert set(found.values()) == set(splits.NAMES)
    ordered = [found[digest] for digest in sorted(found)]
    first = ordered.index('val')
    assert set(ordered[:first]) == {'test'}
    assert ordered[-1] == 'train'


def test_added_videos_never_take_one_from_training():
  rank = {'test': 0, 'val': 1, 'train': 2}
  for seed in range(200):
    order = np.random.default_rng(seed).permutation(_digests(40)).tolist()
    before = {}
    for count in range(3, 40):
      found = splits.divide(dict.fromkeys(order[:count], ''))
      for digest, split in before.items():
        assert rank[found[digest]] >= rank[split]
      before = found


def test_named_splits_are_kept():
  digests = sorted(_digests(4))
  named = dict(zip(digests, ('train', '', 'test', ''), strict=True))
  found = splits.divide(named)
  assert found[digests[0]] == 'train'
  assert found[digests[2]] == 'test'
  assert found[digests[1]] == 'val'
  assert found[digests[3]] == 'train'
