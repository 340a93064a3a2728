"""Quick commits: a process that is killed loses nothing of the page cache."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch):
  monkeypatch.setattr(os, 'fsync', lambda descriptor: None)
