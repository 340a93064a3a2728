"""Modes of `main.py`, one module each."""
