"""Modes of `main.py --mode=...`."""
