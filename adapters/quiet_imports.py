"""What optional packages complain of when PEFT, transformers or torch import them, left unsaid: it harms nothing."""

import logging

__all__ = ["UNSAID"]

UNSAID = {
    "torchao": "Failed to load ",  # kernels for other GPUs and other versions of Python
    "torch.utils._pytree": "%s is an Enum subclass",  # torchao 0.18 registers what torch 2.13 knows by itself
    "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward",  # an optional kernel of the hub
    "torch.onnx._internal.exporter._registration": "torchvision is not installed",  # nor needed
}
"""The logger of each message, and how it begins."""


class _AllBut(logging.Filter):
    """Passes every message of a logger but those that begin in one way."""

    def __init__(self, beginning: str) -> None:
        super().__init__()
        self._beginning = beginning

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(self._beginning)


for _name, _beginning in UNSAID.items():
    logging.getLogger(_name).addFilter(_AllBut(_beginning))
