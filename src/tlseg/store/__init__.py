"""Files in and out: the only package that opens zarr, TIFF, parquet and GEFF."""
