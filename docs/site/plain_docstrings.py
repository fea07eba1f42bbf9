"""Our docstrings as reStructuredText: equations keep their lines, and bars are bars.

A docstring is prose with indented equations and examples. To docutils an indented paragraph is a quotation, and |x|
asks for a substitution; both are put right before Napoleon reads the sections.
"""

import re
from itertools import groupby

from sphinx.application import Sphinx

_SECTION = re.compile(r"\s*[A-Z][a-z]+:$")  # "Args:", whose items are indented and no equation
_AS_IT_IS = re.compile(r"``.*?``|:\w+:`.*?`|`.*?`")


def plain_docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Rewrite the lines of a docstring in place, as the event "autodoc-process-docstring" asks."""
    lines[:] = _rewrite(lines)


def _rewrite(lines: list[str]) -> list[str]:
    result: list[str] = []
    outside: int | None = None  # paragraphs that are deeper than this are an equation's or a directive's
    last = ""
    for blank, group in groupby(lines, key=lambda line: not line.strip()):
        paragraph = list(group)
        if not blank:
            indent = _indent(paragraph[0])
            if outside is not None and indent <= outside:
                outside = None
            if outside is None and paragraph[0].lstrip().startswith(".. "):
                outside = indent
            elif outside is None and last and indent >= _indent(last) + 4 and not _SECTION.match(last):
                outside = _indent(last)
                if not last.endswith("::"):
                    result += [" " * outside + "::", ""]
            if outside is None and not paragraph[0].lstrip().startswith(">>>"):
                paragraph = [_escape_bars(line) for line in paragraph]
            last = paragraph[-1]
        result += paragraph
    return result


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _escape_bars(line: str) -> str:
    kept = _AS_IT_IS.findall(line)
    prose = [part.replace("|", r"\|") for part in _AS_IT_IS.split(line)]
    return "".join(a + b for a, b in zip(prose, [*kept, ""], strict=True))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx, ahead of Napoleon."""
    app.connect("autodoc-process-docstring", plain_docstring, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
