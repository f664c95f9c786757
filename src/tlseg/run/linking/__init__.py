"""Tracks for existing labels and points, written as a result of their own."""
