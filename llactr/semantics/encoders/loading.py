"""Loading models quietly: no progress bars of third parties among our own, and never a look at the network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

__all__ = ["quiet_loading"]


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """Silences transformers' bars and notes and puts the hub client into its offline mode, for the block alone."""
    from huggingface_hub import constants
    from transformers.utils import logging

    bars, verbosity, offline = logging.is_progress_bar_enabled(), logging.get_verbosity(), constants.HF_HUB_OFFLINE
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
