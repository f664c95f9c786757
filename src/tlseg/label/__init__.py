"""From maps to instances: seeds, an exact watershed, and the joining of blocks. Integers only; pure numpy and scipy."""
