"""What is known of nuclei: labels, tables and tracks, from tlseg and from other programs."""
