"""What is known of nuclei: labels, tables and tracks, ours and those that others made."""
