"""Questions to an index, and its answers."""
