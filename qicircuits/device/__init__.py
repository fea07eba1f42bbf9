"""The PennyLane device ``qicircuits.subspace``: where the face and the simulator meet."""

from .device import SubspaceDevice
from .sector_measurements import sector_probs, sector_state

__all__ = ["SubspaceDevice", "sector_probs", "sector_state"]
