"""QuIC adapters: orthogonal fine-tuning by compound matrices, inside Hugging Face PEFT.

Importing this package registers the method with PEFT: ``get_peft_model(model, QuICConfig(...))`` and
``PeftModel.from_pretrained`` know it from then on.
"""

from . import resources as resources  # tells the estimates of qicircuits about plans, layers and models
from .bank import AdapterBank
from .compile import compile_adapter
from .config import QuICConfig
from .gradient_start import start_from_gradient
from .model import QuICModel
from .optimizer import UndecayedAngles, parameter_groups
from .peft_plugin import register
from .verify import verify_adapter

__all__ = [
    "AdapterBank",
    "QuICConfig",
    "QuICModel",
    "UndecayedAngles",
    "compile_adapter",
    "parameter_groups",
    "start_from_gradient",
    "verify_adapter",
]

register()
