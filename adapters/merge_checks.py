"""Whether the weights that a merge would change are those of one module only."""

from collections import defaultdict
from collections.abc import Collection

from torch import nn

from .layer import QuICLayer

__all__ = ["check_own_weights"]


def check_own_weights(model: nn.Module, adapter_names: Collection[str]) -> None:
    """Refuse to merge into a weight that another module holds too, for it must not be rotated there.

    Args:
        model: a model with QuIC adapters.
        adapter_names: those to be merged.

    Raises:
        ValueError: the weight of an adapted layer is tied; the message names the layer and the other holders.
    """
    holders = defaultdict(list)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        holders[parameter].append(name)
    for name, layer in model.named_modules():
        if not isinstance(layer, QuICLayer) or not any(adapter in layer.quic_parameters for adapter in adapter_names):
            continue
        own = f"{name}.base_layer.weight"
        others = [holder for holder in holders[layer.get_base_layer().weight] if holder != own]
        if others:
            raise ValueError(
                f"{name}: merging needs a weight that no other module holds, got one that is also "
                f"{', '.join(others)}, which must not be rotated: untie them first (for a transformer, load it "
                "with tie_word_embeddings=False and copy the weight), or keep the adapter unmerged"
            )
