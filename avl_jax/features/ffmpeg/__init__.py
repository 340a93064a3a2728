"""Reads audio and video files with FFmpeg's libraries."""
