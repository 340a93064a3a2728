"""Transforms of examples into clips, the rows of a batch."""
