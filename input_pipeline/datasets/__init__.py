"""TFDS builders, one folder per family of data sets."""
