"""Batches of training and evaluation."""
