"""Verified checkpoints: writing, loading, metadata, manifest."""
