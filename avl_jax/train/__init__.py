"""Training: step, loop, optimizer, what a run is resumed with."""
