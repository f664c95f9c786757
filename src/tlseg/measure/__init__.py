"""Measurements of each nucleus: sums over voxels that are the same however the frame was cut."""
