"""The feature extractor of strategies whose paper does not name one."""

from __future__ import annotations

from alkit.protocols import FeatureExtractor


def default_features() -> FeatureExtractor:
    """Return a new extractor."""
    from alkit import Reconstruction  # imports torch, so not before an instance is made

    return Reconstruction()
