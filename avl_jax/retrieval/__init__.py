"""Retrieval: tasks, embedding, ranking, metrics and results."""
