"""The index on disk: its journal, its vectors, and exact scores."""
