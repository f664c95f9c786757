"""Tasks and what runs them: this process, workers on this machine or a Dask cluster; the only package that knows them."""
