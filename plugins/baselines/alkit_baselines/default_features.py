"""The feature extractor of strategies whose paper does not name one."""

from __future__ import annotations

from alkit.protocols import FeatureExtractor


def default_features() -> FeatureExtractor:
    """Return the features of a pre-trained network, which comes with ``pip install 'alkit[pretrained]'``."""
    from alkit.features import Pretrained  # imports torch, so not before an instance is made

    return Pretrained()
