"""Measure further channels of a movie and add their intensities to the nucleus table of a result."""
