"""The method's entry in PEFT's registry; the only file that touches it."""

from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PeftType
from peft.utils import register_peft_method

from .config import QuICConfig
from .model import QuICModel

__all__ = ["register"]

_NAME = "quic"


def register() -> None:
    """Make QuICConfig and QuICModel known to PEFT, as it knows its own methods; calling it again does nothing.

    Raises:
        RuntimeError: another package has registered a method named "quic".
    """
    peft_type = _extend_peft_type(_NAME.upper())
    registered = PEFT_TYPE_TO_CONFIG_MAPPING.get(peft_type)
    if registered is None:
        register_peft_method(name=_NAME, config_cls=QuICConfig, model_cls=QuICModel)
    elif registered is not QuICConfig:
        raise RuntimeError(f"the PEFT method {_NAME!r} must be registered once, got {registered} before ours")


def _extend_peft_type(name: str) -> PeftType:
    """Add a member to the enumeration PeftType, which is closed; `register_peft_method` asks for a member.

    It has to be a real member: PEFT looks it up by value when it reads a configuration, transformers reads its
    `value`, and json writes it as a string.
    """
    if name in PeftType.__members__:
        return PeftType[name]
    member = str.__new__(PeftType, name)
    member._name_ = member._value_ = name
    member.__objclass__ = PeftType
    member._sort_order_ = len(PeftType._member_names_)
    type.__setattr__(PeftType, name, member)  # Enum's own __setattr__ refuses to rebind members
    PeftType._member_names_.append(name)
    PeftType._member_map_[name] = member
    PeftType._value2member_map_[name] = member
    return member
