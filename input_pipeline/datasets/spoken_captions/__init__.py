"""Data sets of images with spoken captions: Places Audio."""
