"""Intensities of further channels of a movie, added to the nucleus table of a result."""
