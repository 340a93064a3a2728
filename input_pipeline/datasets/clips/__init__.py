"""Data sets of trimmed clips: YouCook2, CrossTask, MSR-VTT and others."""
