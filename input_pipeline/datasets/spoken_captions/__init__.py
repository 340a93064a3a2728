"""Places Audio: images with spoken captions."""
