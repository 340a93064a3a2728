"""From an example to the rows of a batch."""
