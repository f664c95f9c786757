"""Which kernels may a GPU use? The same ones every time, and in float32 none of reduced precision.

By default cuDNN takes what was fastest in a first try, and multiplies float32 as TF32, which keeps 10 bits of 23.
"""

from __future__ import annotations

import torch


def use_exact_kernels() -> None:
    """Choose deterministic kernels, here and in any other process, and true float32, for all that follows in this process.

    PyTorch from 2.9 on has one setting for each operation and warns of the older flags; it refuses to read these once the
    new ones are set, so only one kind is touched.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    cudnn.deterministic = True
    cudnn.benchmark = False
    if hasattr(cudnn, "conv"):
        cudnn.conv.fp32_precision = "ieee"
        matmul.fp32_precision = "ieee"
    else:
        cudnn.allow_tf32 = False
        matmul.allow_tf32 = False
