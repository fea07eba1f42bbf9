"""Signatures that name the long unions of other libraries, as the code does, and do not spell them out.

A default that is made anew, which Python writes as <factory>, is written as dots: Sphinx reads signatures as Python.
"""

from numpy.typing import ArrayLike
from pennylane.typing import TensorLike
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

_NAMES = {
    stringify_annotation(union, "smart"): name
    for union, name in ((ArrayLike, "ArrayLike"), (TensorLike, "TensorLike"))
} | {"<factory>": "..."}


def shorten(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Rewrite a signature, as the event "autodoc-process-signature" asks."""
    return _shorten(signature), _shorten(returns)


def _shorten(annotation: str | None) -> str | None:
    for union, name in _NAMES.items():
        annotation = annotation and annotation.replace(union, name)
    return annotation


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
