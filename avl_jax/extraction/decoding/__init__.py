"""Decodes strangers' media files in a child process that can open nothing."""
