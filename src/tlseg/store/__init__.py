"""Files in and out: the only package that opens zarr, TIFF, parquet and GEFF.

`fs` reaches folders and object stores alike, `locks` lets one run write at a time, `image` holds pixels, `labels` what is
known of nuclei, `working` what a run remembers on its way, and `export` the formats of others. Imports point to the left.
"""
