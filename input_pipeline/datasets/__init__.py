"""TFDS builders, one file a family of data sets."""
