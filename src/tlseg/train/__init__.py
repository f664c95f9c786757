"""Making weights: pairs of images and instance labels in, a network's weights out."""
