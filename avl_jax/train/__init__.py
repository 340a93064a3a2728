"""Training: step, optimizer, loop, initial variables, preemption, logs."""
