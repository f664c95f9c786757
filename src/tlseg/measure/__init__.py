"""What is there to say about each nucleus? Sums over voxels that add up the same however the frame was cut."""
