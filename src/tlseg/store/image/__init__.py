"""Pixels: reading movies of any source, writing OME-Zarr pyramids."""
