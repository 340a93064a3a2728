"""Makes an index of a folder of media files, and brings it up to date."""
