"""The kinds of layer that can be rotated, and where each keeps its features."""

from torch import nn
from transformers.pytorch_utils import Conv1D

from .choices import Side
from .layer import QuICLayer
from .quantised import SERVED

__all__ = ["QuICConv2d", "QuICEmbedding", "QuICLinear", "QuICTransposedLinear", "face_of"]


class QuICLinear(QuICLayer):
    """A rotated ``nn.Linear``: weight (out, in)."""

    weight_dims = {"out": 0, "in": 1}  # noqa: RUF012 (typed in the base class)
    can_add = True

    @classmethod
    def count_features(cls, base_layer: nn.Module, side: Side) -> int:
        """out_features or in_features; not read off the weight, which may be packed."""
        return int(getattr(base_layer, f"{side}_features"))


class QuICTransposedLinear(QuICLayer):
    """A rotated ``Conv1D`` of transformers, the linear layer of GPT-2: weight (in, out).

    PEFT recognises an adapted layer as one of "all-linear" by the word Linear in its class's name.
    """

    weight_dims = {"out": 1, "in": 0}  # noqa: RUF012
    can_add = True

    @classmethod
    def count_features(cls, base_layer: nn.Module, side: Side) -> int:
        """The size of the weight's dimension."""
        return base_layer.get_parameter("weight").shape[cls.weight_dims[side]]


class QuICConv2d(QuICLayer):
    """A rotated ``nn.Conv2d``: weight (out, in, height, width), features are channels."""

    feature_dim = -3
    weight_dims = {"out": 0, "in": 1}  # noqa: RUF012

    @classmethod
    def count_features(cls, base_layer: nn.Module, side: Side) -> int:
        """out_channels or in_channels, of an ungrouped convolution."""
        if base_layer.groups != 1:
            raise ValueError(
                "a convolution must have groups=1, got "
                f"groups={base_layer.groups}: a rotation that mixes channels of different groups is not a weight "
                "of the same layer, and could not be merged"
            )
        return int(getattr(base_layer, f"{side}_channels"))


class QuICEmbedding(QuICLayer):
    """A rotated ``nn.Embedding``: weight (tokens, features); every token's vector is rotated alike."""

    weight_dims = {"out": 1}  # noqa: RUF012

    @classmethod
    def count_features(cls, base_layer: nn.Module, side: Side) -> int:
        """embedding_dim."""
        if side != "out":
            raise ValueError("an embedding must have side='out': its input is a token's index, got side='in'")
        return base_layer.get_parameter("weight").shape[1]


_FACES: dict[type[nn.Module], type[QuICLayer]] = {
    nn.Linear: QuICLinear,
    Conv1D: QuICTransposedLinear,
    nn.Conv2d: QuICConv2d,
    nn.Embedding: QuICEmbedding,
}


def face_of(module: nn.Module) -> type[QuICLayer]:
    """The class that adapts a module.

    Args:
        module: a layer of a model, not adapted.

    Returns:
        the subclass of :class:`~adapters.layer.QuICLayer` for its kind.

    Raises:
        TypeError: modules of this kind cannot be rotated.

    >>> face_of(nn.Linear(2, 2)).__name__
    'QuICLinear'
    """
    for kind, face in _FACES.items():
        if isinstance(module, kind):
            return face
    # Whose, because torch's own Conv1d differs only by the case of a letter.
    names = ", ".join("transformers' Conv1D" if kind is Conv1D else kind.__name__ for kind in _FACES)
    raise TypeError(
        f"a target module must be one of {names}, got {type(module).__name__} (of quantised layers, {SERVED})"
    )
