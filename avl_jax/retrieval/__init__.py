"""Retrieval: embedding, ranking, metrics."""
