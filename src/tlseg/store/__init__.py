"""Files in and out: the only package that opens zarr, TIFF, parquet and GEFF.

`fs` reaches folders and object stores alike, `locks` lets one run write at a time, `image` handles pixels, `labels` what is
known of nuclei, `working` the state of an unfinished run, and `export` the formats of other programs. Imports point to the
left.
"""
