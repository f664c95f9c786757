"""What a run reports while it is going on: events, their log, the time left, and its status from another process."""
