"""Local folders and remote stores behind one small value, and files that are either complete or absent."""
