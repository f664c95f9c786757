"""Everything made from labels is removed when they are replaced, so that nothing describes labels that are gone."""

from __future__ import annotations

from tlseg.store.fs.place import Place
from tlseg.store.working.folder import MEASURING

LINKING = "linking.json"
"""Mark of a run of `tlseg link` or `tlseg adopt` that has begun to write and has not come to its end."""


def remove_derived(folder: Place, *others: str) -> None:
    """Remove record, report, maps and unfinished measurements of labels that are about to be replaced.

    Parameters
    ----------
    folder
        Where they lie, `tlseg/<name>`.
    *others
        Further files there that belong to the old labels, and not to the run that replaces them.
    """
    for name in ("run.json", "report.html", "maps", MEASURING, *others):
        (folder / name).remove()
