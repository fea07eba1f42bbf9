"""Tests of the GPU kernels without a GPU: they run in Triton's interpreter, to be chosen before its import."""

import os
from importlib.util import find_spec

import torch

_HAS_TRITON = find_spec("triton") is not None

if _HAS_TRITON and not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

# Modules of kernels cannot be imported without it, not even for their examples.
collect_ignore_glob = [] if _HAS_TRITON else ["qicircuits/engine/cuda*.py"]
