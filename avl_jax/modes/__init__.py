"""What `main.py --mode=...` runs, one module a mode."""
