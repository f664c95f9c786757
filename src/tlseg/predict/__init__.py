"""From intensities to probability maps, on a lattice of windows that belongs to the frame and never to the blocks."""
