"""What a run tells while it goes on: events, their log, the time that is left, and its status from another process."""
