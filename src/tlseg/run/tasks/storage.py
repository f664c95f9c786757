"""Workers access stores as the client does: the storage options of this process go to every worker, also later ones.

Options hold no secrets (see `tlseg.store.fs.options`); each machine has its own credentials.
"""

from __future__ import annotations

from typing import Any

from distributed import Client, WorkerPlugin

from tlseg.store.fs.options import Options, given_options, set_options


class StorageOptions(WorkerPlugin):
    """Sets storage options where a worker starts."""

    name = "tlseg-storage-options"

    def __init__(self, options: Options) -> None:
        self.options = options

    def setup(self, worker: Any) -> None:
        """Use the options in the worker's process."""
        set_options(self.options)


def share_options(client: Client) -> None:
    """Give the storage options of this process to the workers of a cluster."""
    if options := given_options():
        client.register_plugin(StorageOptions(options))
