"""QuIC adapters: orthogonal fine-tuning by compound matrices, inside Hugging Face PEFT.

Importing this package registers the method with PEFT: ``get_peft_model(model, QuICConfig(...))`` and
``PeftModel.from_pretrained`` know it from then on.
"""

from . import quiet_imports as quiet_imports  # before anything that imports them
from . import resources as resources  # tells the estimates of qicircuits about plans, layers and models
from .bank import AdapterBank
from .compile import CompiledBlock, compile_adapter
from .config import QuICConfig
from .gradient_start import start_from_gradient
from .history import AdapterHistory
from .model import QuICModel
from .optimizer import UndecayedAngles, parameter_groups
from .paper_checkpoint import load_paper_checkpoint
from .peft_plugin import register
from .planner import plan_budget
from .quantisation_aware import QuantisationAware, QuantisationAwareCallback
from .riemannian import RiemannianAdam, riemannian_groups
from .rounded import score_by_bits
from .storage import pack_adapter, unpack_adapter
from .verify import BlockCheck, VerificationReport, verify_adapter

__all__ = [
    "AdapterBank",
    "AdapterHistory",
    "BlockCheck",
    "CompiledBlock",
    "QuICConfig",
    "QuICModel",
    "QuantisationAware",
    "QuantisationAwareCallback",
    "RiemannianAdam",
    "UndecayedAngles",
    "VerificationReport",
    "compile_adapter",
    "load_paper_checkpoint",
    "pack_adapter",
    "parameter_groups",
    "plan_budget",
    "riemannian_groups",
    "score_by_bits",
    "start_from_gradient",
    "unpack_adapter",
    "verify_adapter",
]

register()
