"""Media files to the arrays of a record, without TensorFlow."""
