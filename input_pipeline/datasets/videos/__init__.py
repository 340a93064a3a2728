"""Data sets of untrimmed videos: HowTo100M."""
