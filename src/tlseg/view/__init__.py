"""Viewers that can show the pixels of a result."""
