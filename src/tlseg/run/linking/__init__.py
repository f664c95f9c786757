"""Tracks for labels and points that are there already, written as a result of their own."""
