"""Tux Paint's stamps: pictures with spoken descriptions."""
