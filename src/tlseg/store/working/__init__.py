"""What a run remembers on its way, so that it can go on: maps, provisional labels and small tables."""
