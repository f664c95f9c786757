"""Tasks and who does them: this process, workers of this machine or a Dask cluster; the only package that knows them."""
