"""Score a result against the truth.

Everything follows from one table per frame: how many voxels each pair of labels shares. The table is an exact sum over
blocks, so no metric depends on how a frame was cut.
"""
