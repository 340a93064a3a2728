"""Data sets of a person's own videos: a folder of files, or a manifest."""
