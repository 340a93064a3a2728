"""The thesis' data sets of trimmed clips."""
