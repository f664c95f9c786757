"""Pixels: movies as they come, OME-Zarr pyramids as they are written."""
