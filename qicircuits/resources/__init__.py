"""What circuits cost on a quantum machine, and the same maps on a classical one: `estimate`, and its formulas.

>>> from qicircuits import brickwork
>>> from qicircuits.resources import estimate
>>> estimate(brickwork(4)).circuits[0].counts.gates
{'CNOT': 12, 'Hadamard': 12, 'RY': 12}
"""

from .blocks import BlockGroup, describe_blocks
from .classical import ClassicalCost, classical_paths
from .counts import GateCounts, closed_form, t_per_rotation
from .crossover import Crossover, crossovers, task_seconds
from .estimate import count_circuit, count_t_gates, estimate
from .machine import CPU_CORE, IONS, SUPERCONDUCTING, Assumptions, Computer, Machine
from .report import CircuitCost, Report, SectorCost
from .shots import shots_for_magnitudes, shots_for_number, shots_for_signed_magnitudes, shots_for_vector

__all__ = [
    "CPU_CORE",
    "IONS",
    "SUPERCONDUCTING",
    "Assumptions",
    "BlockGroup",
    "CircuitCost",
    "ClassicalCost",
    "Computer",
    "Crossover",
    "GateCounts",
    "Machine",
    "Report",
    "SectorCost",
    "classical_paths",
    "closed_form",
    "count_circuit",
    "count_t_gates",
    "crossovers",
    "describe_blocks",
    "estimate",
    "shots_for_magnitudes",
    "shots_for_number",
    "shots_for_signed_magnitudes",
    "shots_for_vector",
    "t_per_rotation",
    "task_seconds",
]
