"""Which process may write to an output, and when does what was written take its place?"""
