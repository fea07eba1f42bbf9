"""transformers and PEFT without what they say of their own accord, while a command of ours says what matters."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging

__all__ = ["quiet"]


@contextmanager
def quiet() -> Iterator[None]:
    """Without bars, which would break ours, nor the list of layers that are new: a head is, until it is loaded."""
    before, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            # PEFT 0.21 asks transformers 5.23 for a property by its old name.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            yield
    finally:
        logging.set_verbosity(before)
        if has_bars:
            logging.enable_progress_bar()
