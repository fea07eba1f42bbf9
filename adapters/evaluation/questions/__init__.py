"""The questions to the laboratory, by letter."""

from __future__ import annotations

from .a_budget import BUDGET
from .b_orders import ORDERS
from .c_artefact import ARTEFACT
from .d_identity import IDENTITY
from .e_maps import MAPS
from .f_places import PLACES
from .g_forgetting import FORGETTING
from .h_bits import BITS_QUESTION
from .i_cost import COST
from .j_defaults import DEFAULTS
from .question import Question

__all__ = ["QUESTIONS", "Question"]

QUESTIONS: dict[str, Question] = {
    question.name[0]: question
    for question in (BUDGET, ORDERS, ARTEFACT, IDENTITY, MAPS, PLACES, FORGETTING, BITS_QUESTION, COST, DEFAULTS)
}
