"""Data sets of Tux Paint's stamps: pictures with spoken descriptions."""
