"""The state of an unfinished run, so that it can continue: maps, provisional labels and small tables."""
