"""The semantics version: one short name for everything that the K field vectors of a dataset depend on."""

from __future__ import annotations

from collections.abc import Sequence

from llactr.manifest import content_hash
from llactr.semantics.encoders.base import Encoder

__all__ = ["VERSION_DIGITS", "semantics_version"]

VERSION_DIGITS = 16


def semantics_version(encoder: Encoder, fields: Sequence[str], descriptions: Sequence[str]) -> str:
    """16 hex digits, a content hash of encoder (weights, adapter, pooling, prompts), fields, descriptions and L.

    Fields are hashed with their descriptions and in their order: two specs whose fields trade places have different
    versions. Vectors are not hashed, for another machine may give them other last bits.

    Args:
        encoder: what encodes.
        fields: K names.
        descriptions: K descriptions.
    """
    pairs = [list(pair) for pair in zip(fields, descriptions, strict=True)]
    return content_hash([encoder.fingerprint, encoder.dim, pairs])[:VERSION_DIGITS]
