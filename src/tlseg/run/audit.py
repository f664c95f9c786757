"""The seam audit: what every block's flood reported about itself, and whether neighbours agree where they meet.

Nothing is published unless they do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tlseg.config import Method
from tlseg.errors import RunError
from tlseg.run.context import RunContext
from tlseg.store.working.names import Table


def seam_audit(run: RunContext) -> dict[str, Any]:
    """Count how labels were certified: blocks, floods repeated, faces compared and voxels that disagree.

    Reads one small table per frame, made by `summarise`, so its cost grows with frames and not with blocks.
    """
    tries: Counter[int] = Counter()
    batches: Counter[str] = Counter()
    compared = wrong = 0
    largest = (0, 0, 0)
    for frame in run.frames:
        stored = run.scratch.get(Table.AUDIT, frame, 0)
        tries.update({int(n): int(blocks) for n, blocks in stored["tries"]})
        batches.update({str(size): int(windows) for size, windows in stored["batches"]})
        z, y, x = (int(v) for v in stored["halo"])
        largest = (max(largest[0], z), max(largest[1], y), max(largest[2], x))
        compared, wrong = compared + int(stored["seam"][0]), wrong + int(stored["seam"][1])
    return {
        "blocks": tries.total(),
        "certified_at_first_try": tries[1],
        "halos_enlarged": sum(n for t, n in tries.items() if t > 1),
        "largest_halo_voxels": largest,
        "face_voxels_compared": compared,
        "face_voxels_that_disagree": wrong,
        "windows_by_batch": dict(batches),
    }


def check_audit(audit: Mapping[str, Any], *, method: Method) -> None:
    """Raise `RunError` when two blocks disagree about a voxel, or no flooded block was audited.

    The labels would depend on the cut, or nobody would know.
    """
    if method == "qcanet" and not audit["blocks"]:
        raise RunError(
            "The seam audit certified no block, although the run floods blocks, so nothing shows that labels do not depend "
            "on how the work was cut. This is a defect in tlseg; nothing was published. Please report it with audit.json."
        )
    wrong, compared = audit["face_voxels_that_disagree"], audit["face_voxels_compared"]
    if wrong:
        raise RunError(
            f"{wrong} of {compared} voxels compared across block faces disagree: labels would depend on how the work "
            "was cut. This is a defect in tlseg; nothing was published. Please report it with the seam audit in "
            "audit.json."
        )
