"""Formulas as MathML, which browsers draw themselves: no script, and no network, when the site is built or read."""

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator


def visit_inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def visit_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on lines of its own."""
    translator.body.append(f"<div class='math'>{_mathml(node, as_block=True)}</div>")
    raise nodes.SkipNode


def _mathml(node: nodes.TextElement, *, as_block: bool) -> str:
    # docutils knows all of our LaTeX but this.
    return latex2mathml.tex2mathml(node.astext().replace(r"\dots", r"\ldots"), as_block=as_block)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx; `html_math_renderer` names it."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
