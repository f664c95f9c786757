"""From maps to instances: seeds, an exact watershed, and what joins blocks. Integers only; pure numpy and scipy."""
