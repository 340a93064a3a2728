"""Search: an index of vectors on disk, and exact answers from it."""
