"""QuICConfig: what a user chooses about a QuIC adapter, checked when it is written down or read back."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import peft
from peft import PeftConfig, PeftType
from peft.tuners.tuners_utils import BaseTuner
from peft.utils.other import get_pattern_key

from .ablation_choices import AblationChoices
from .adapter_file import find_adapter_file
from .checkpoint import SavedAdapter, read_saved_adapter
from .choices import Composition, ParameterMap, Sides, TrainedBiases
from .config_checks import check_choices, check_count, check_layers, check_modules, check_patterns, check_version
from .plan import check_block_choice, check_orders
from .quantise import Bits, check_bits

__all__ = ["CONFIG_VERSIONS", "DEFAULT_SHARED_BLOCKS", "QuICConfig"]

CONFIG_VERSIONS = (1, 2, 3, 4)
"""The versions of the saved configuration that this release reads. It writes the oldest one that says it all, so that
a release that knows only that one can load what it can serve, and refuses the rest."""

DEFAULT_SHARED_BLOCKS = 8
"""Blocks of a layer, with one rotation for all, where nothing is said: as question j of `quic bench` found."""


@dataclass
class QuICConfig(AblationChoices, PeftConfig):
    """The configuration of a QuIC adapter, for ``peft.get_peft_model`` and ``model.add_adapter``.

    A target layer with weight W gets W' = R W (side "out") or W' = W R (side "in"), where

        R = ⊕_{i=1..N} [ ⊕_{k in orders} C_k(A_i) ⊕ I_pad ] ⊕ I_untouched

    is orthogonal, and each A_i in SO(n) is given by n(n-1)/2 trained numbers. Orders (1,) with the map
    "cayley" is OFT on the output side; PEFT's own OFT rotates the input side.

    Args:
        target_modules: names or suffixes of the modules to adapt, one regular expression, or "all-linear", every
            linear layer but the output's; None takes PEFT's default for the architecture.
        exclude_modules: names or suffixes, or one regular expression, of modules to leave alone.
        orders: the compound orders k, distinct and at least 1; their order is that of the sectors.
        n_blocks: N, the number of blocks. Where nothing is said about blocks there are eight with one A
            (docs/explanations/defaults.md); where only `block_share` is given, there is one.
        block_size: b, the number of features of a block, N = d // b; not together with `n_blocks`.
        block_share: whether the blocks of a layer share one A; not, where only their number or size is given.
        n_factors: F, the number of such maps that R is a product of, with shuffled features in between; F times as
            many numbers, and as much time.
        n_blocks_pattern: other numbers of blocks, by ends of module names or regular expressions for them; instead of
            `n_blocks` and `block_size`. The first key that matches counts, as in the patterns of PEFT.
        orders_pattern: other orders, in the same way.
        parameter_map: from numbers to A: "cayley", "exponential", or "rbs", whose numbers are the angles (in
            radians, from the swap-network start) of a brickwork circuit of RBS gates. A learning rate of 5e-3 is a
            start for all of them; the last two take up to twice that of "cayley" (docs/results/learning_rates.md).
        side: which features of the layer are rotated: "out" (W' = R W), "in" (W' = W R), or "both"
            (W' = R_out W R_in, with parameters for each).
        scaling: whether every rotated feature gets a trained positive scale too: W' = diag(s) R W, or W diag(s) R on
            the side "in" alone; s = exp(sigma), and sigma, d numbers a layer, starts at 0.
        composition: "multiplicative", as above, or, for comparisons, "additive": W' = W + diag(s) (R - I) E, or
            W + E diag(s) (R - I) on the side "in"; E has the shape of W, ones on its diagonal, zeros elsewhere.
        module_dropout: probability, in [0, 1), that a training forward skips the rotation of a layer, for the
            whole batch.
        init_weights: True starts at R = I exactly; False at a random rotation near I (for tests).
        bias: which biases are trained too: "none", "all", or "quic_only", those of the adapted layers.
        layers_to_transform: indices of the layers to adapt, where `target_modules` is a list.
        layers_pattern: name of the list of layers, where `layers_to_transform` is given.
        modules_to_save: modules that are trained in full and saved with the adapter.
        packed_bits: width of the numbers in a packed file, which ``quic pack`` has written; leave it.
        config_version: the version of this configuration's meaning; leave it, it is found from the other values.
        constraint, operation, start: for comparisons only, see
            :class:`~adapters.ablation_choices.AblationChoices`.

    Raises:
        TypeError, ValueError: a value is not allowed; the message says the rule and the value.

    >>> QuICConfig(target_modules=["query", "value"], orders=(1, 2), n_blocks=2).orders
    (1, 2)
    """

    target_modules: list[str] | str | None = field(
        default="all-linear",
        metadata={
            "help": "Names or suffixes of the modules to adapt, one regular expression, or 'all-linear'; "
            "None takes PEFT's default for the architecture."
        },
    )
    exclude_modules: list[str] | str | None = field(
        default=None,
        metadata={"help": "Names or suffixes, or one regular expression, of modules to leave alone."},
    )
    orders: tuple[int, ...] = field(
        default=(1, 2),
        metadata={"help": "The compound orders, distinct integers, at least 1; (1,) is OFT."},
    )
    n_blocks: int | None = field(
        default=None,
        metadata={"help": "Number of blocks of a layer; by default eight that share one rotation."},
    )
    block_size: int | None = field(
        default=None,
        metadata={"help": "Number of features of a block; not together with n_blocks."},
    )
    block_share: bool | None = field(
        default=None,
        metadata={"help": "Whether the blocks share one rotation; by default only where no blocks are chosen."},
    )
    n_factors: int = field(
        default=1,
        metadata={"help": "Number of factors of R, each of all its blocks, with shuffled features in between."},
    )
    n_blocks_pattern: dict[str, int] = field(
        default_factory=dict,
        metadata={"help": "Other numbers of blocks, by ends of module names: {'value': 4}; instead of block_size."},
    )
    orders_pattern: dict[str, tuple[int, ...]] = field(
        default_factory=dict,
        metadata={"help": "Other orders, by ends of module names: {'value': (2,)}."},
    )
    parameter_map: ParameterMap = field(
        default="cayley",
        metadata={"help": "From trained numbers to a rotation: 'cayley', 'exponential' or 'rbs' (angles)."},
    )
    side: Sides = field(
        default="out",
        metadata={"help": "Which features of the layer are rotated: 'out' (W' = R W), 'in' (W' = W R) or 'both'."},
    )
    scaling: bool = field(
        default=False,
        metadata={"help": "Whether every rotated feature gets a trained positive scale too."},
    )
    composition: Composition = field(
        default="multiplicative",
        metadata={"help": "'multiplicative', or for comparisons 'additive': W' = W + (R - I) E, E the identity."},
    )
    module_dropout: float = field(
        default=0.0,
        metadata={"help": "Probability, in [0, 1), that a training forward skips the rotation of a layer."},
    )
    init_weights: bool = field(
        default=True,
        metadata={"help": "True starts at the identity, False at a random rotation near it (for tests)."},
    )
    bias: TrainedBiases = field(
        default="none",
        metadata={"help": "Which biases are trained too: 'none', 'all' or 'quic_only'."},
    )
    layers_to_transform: list[int] | int | None = field(
        default=None,
        metadata={"help": "Indices of the layers to adapt; only where target_modules is a list."},
    )
    layers_pattern: list[str] | str | None = field(
        default=None,
        metadata={"help": "Name of the list of layers, such as 'layers' or 'h'; with layers_to_transform."},
    )
    modules_to_save: list[str] | None = field(
        default=None,
        metadata={"help": "Modules that are trained in full and saved with the adapter."},
    )
    packed_bits: Bits | None = field(
        default=None,
        metadata={"help": "Width of the numbers in a packed adapter file, written by quic pack; leave it."},
    )
    config_version: int = field(
        default=CONFIG_VERSIONS[0],
        metadata={"help": "Version of this configuration's meaning; leave it."},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType["QUIC"]
        # Not a field, so not written to disk: what lies beside a configuration that was read, until it is used.
        self.saved: SavedAdapter | None = None
        self.check()

    def check(self) -> None:
        """Check every value; done at construction, and again at injection, since values can be set in between.

        Raises:
            TypeError, ValueError: a value is not allowed; the message says the rule and the value.
        """
        check_version(self.config_version, CONFIG_VERSIONS)
        self.orders = check_orders(self.orders)
        self._choose_blocks()
        check_block_choice(self.n_blocks, self.block_size)
        check_choices(self)
        self.check_ablation(self.parameter_map)
        if self.composition == "additive" and self.side == "both":
            raise ValueError("composition='additive' needs side='out' or 'in', got side='both'")
        for name in ("block_share", "scaling", "init_weights"):
            if not isinstance(value := getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {value!r}")
        if not isinstance(self.module_dropout, int | float) or not 0 <= self.module_dropout < 1:
            raise ValueError(f"module_dropout must be a probability in [0, 1), got {self.module_dropout!r}")
        if self.bias != "none" and not hasattr(BaseTuner, "_get_learnable_bias_state_dict"):
            # Older ones save the biases of a few methods of their own, and would drop ours in silence.
            raise ValueError(
                f"bias={self.bias!r} needs PEFT 0.21, which saves trained biases, got {peft.__version__}"
            )
        check_count("n_factors", self.n_factors)
        check_patterns(self)
        check_modules(self)
        check_layers(self)
        if self.packed_bits is not None:
            check_bits(self.packed_bits)
        defaults = {"n_factors": 1, "n_blocks_pattern": {}, "orders_pattern": {}, "scaling": False}
        is_newer = any(getattr(self, name) != value for name, value in defaults.items())
        needs_2 = is_newer or self.side == "both" or self.composition == "additive"
        self.config_version = 4 if self.is_ablation else 3 if self.packed_bits else 2 if needs_2 else 1

    def _choose_blocks(self) -> None:
        """Write down what is meant where nothing is said about blocks: a file says it all."""
        if self.block_share is None:
            is_open = self.n_blocks is None and self.block_size is None and not self.n_blocks_pattern
            self.block_share = is_open
            self.n_blocks = DEFAULT_SHARED_BLOCKS if is_open else self.n_blocks

    def for_module(self, module: str) -> "QuICConfig":
        """The configuration of one module, with the values that the patterns give it.

        Args:
            module: its name in the model without adapters.

        Returns:
            this configuration, or a copy without patterns.
        """
        if not self.n_blocks_pattern and not self.orders_pattern:
            return self
        values: dict[str, Any] = {"n_blocks_pattern": {}, "orders_pattern": {}}
        if (key := get_pattern_key(self.n_blocks_pattern.keys(), module)) in self.n_blocks_pattern:
            values |= {"n_blocks": self.n_blocks_pattern[key], "block_size": None}
        if (key := get_pattern_key(self.orders_pattern.keys(), module)) in self.orders_pattern:
            values["orders"] = self.orders_pattern[key]
        return dataclasses.replace(self, **values)

    @classmethod
    def check_kwargs(cls, **kwargs: Any) -> dict[str, Any]:
        """Refuse another config version, or none, before PEFT drops the fields it does not know."""
        if not isinstance(kwargs.get("peft_type", ""), str):
            raise ValueError(f"peft_type must be the name of a method, got {kwargs['peft_type']!r}")
        if kwargs.get("peft_type") == PeftType["QUIC"]:
            check_version(kwargs.get("config_version"), CONFIG_VERSIONS)
        return kwargs

    @classmethod
    def from_json_file(cls, path_json_file: str, **kwargs: Any) -> dict[str, Any]:
        """Read the values of a configuration from a file.

        Args:
            path_json_file: the file.
            kwargs: ignored, as PEFT does.

        Returns:
            the values by name, not yet checked.

        Raises:
            ValueError: it is not the JSON of an object.
        """
        try:
            values = super().from_json_file(path_json_file, **kwargs)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"a configuration must be a JSON file, got {path_json_file}: {error}") from error
        except TypeError as error:  # PEFT looks for a key in whatever it has read
            raise ValueError(f"a configuration must be a JSON object, got {path_json_file}: {error}") from error
        if not isinstance(values, dict):
            raise ValueError(f"a configuration must be a JSON object, got {values!r} in {path_json_file}")
        return values

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str, subfolder: str | None = None, **kwargs: Any
    ) -> "QuICConfig":
        """Read a saved configuration and check the adapter file beside it.

        The shapes that the file holds are remembered, so that they are checked before the model changes.

        Args:
            pretrained_model_name_or_path: a folder, or the name of a repository on the hub.
            subfolder: the adapter's folder inside it.
            kwargs: as for :meth:`peft.PeftConfig.from_pretrained`.

        Returns:
            the configuration; of another class if another method wrote it.

        Raises:
            ValueError: the configuration is of another version or not allowed, or the adapter file is truncated,
                not readable, a pickle, or holds other numbers than the configuration says.
        """
        config = super().from_pretrained(pretrained_model_name_or_path, subfolder=subfolder, **kwargs)
        folder = Path(pretrained_model_name_or_path, subfolder or "")
        if isinstance(config, cls):
            download, _, _ = cls._split_kwargs(kwargs)
            file = find_adapter_file(pretrained_model_name_or_path, subfolder, **download)
            saved = read_saved_adapter(folder, file, config.for_module)
            # PEFT passes its own option on: it will leave tensors of other shapes out.
            config.saved = None if kwargs.get("ignore_mismatched_sizes") else saved
        return config
