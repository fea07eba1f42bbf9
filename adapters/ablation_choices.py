"""What a configuration can take away from the method, one idea at a time, for comparisons only."""

from dataclasses import dataclass, field
from typing import get_args

from .choices import Constraint, Operation, Start

__all__ = ["AblationChoices"]


@dataclass
class AblationChoices:
    """The fields of a QuICConfig that exist to ask what an idea is worth; each starts at the identity, as without.

    An adapter with one of them is trained, saved, merged and composed as the others, by plain torch and slower. It is
    no circuit: it is not compiled, packed, combined or kept in a bank.

    Args:
        constraint: "orthogonal", or "free": A = I + M with any M, n² numbers, instead of a rotation.
        operation: what entry (I, J) of a sector is, of A[I, J]: its determinant "det", or "permanent", "max" or
            "mean". Other than "det" they are taken as changes, δ_IJ + f(A[I, J]) - f(1[I, J]).
        start: with the map "rbs" what the angles are counted from: "swap_network", or "zero", where gates on the same
            wires do the same and the map has rank n - 1 only.
    """

    constraint: Constraint = field(
        default="orthogonal",
        metadata={"help": "For comparisons: 'free' trains n² numbers A - I for each block instead of a rotation."},
    )
    operation: Operation = field(
        default="det",
        metadata={"help": "For comparisons: 'permanent', 'max' or 'mean' in the place of the minors' determinants."},
    )
    start: Start = field(
        default="swap_network",
        metadata={"help": "For comparisons, with the map 'rbs': 'zero' starts at angles of zero."},
    )

    @property
    def is_ablation(self) -> bool:
        """Whether an idea is taken away."""
        return (self.constraint, self.operation, self.start) != ("orthogonal", "det", "swap_network")

    def ablation_text(self) -> str:
        """These fields and their values, for messages."""
        return f"constraint={self.constraint!r}, operation={self.operation!r}, start={self.start!r}"

    def check_ablation(self, parameter_map: str) -> None:
        """Check these fields.

        Args:
            parameter_map: the configuration's map.

        Raises:
            ValueError: a value is not allowed, or not with the map.
        """
        for name, choices in (("constraint", Constraint), ("operation", Operation), ("start", Start)):
            if (value := getattr(self, name)) not in get_args(choices):
                raise ValueError(f"{name} must be one of {get_args(choices)}, got {value!r}")
        if self.start == "zero" and parameter_map != "rbs":
            raise ValueError(f"start='zero' needs parameter_map='rbs', got {parameter_map!r}")
        if self.constraint == "free" and parameter_map != "cayley":
            raise ValueError(f"constraint='free' has no map, leave parameter_map as it is, got {parameter_map!r}")
