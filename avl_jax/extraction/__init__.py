"""Extracts the arrays of a record from media files, without TensorFlow."""
