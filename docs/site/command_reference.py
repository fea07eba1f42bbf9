"""The pages of `quic`: what every command says to --help, put where a page asks for it."""

from sphinx.application import Sphinx
from typer import Context
from typer.cli import get_docs_for_click
from typer.main import get_command

_MARK = "<!-- commands -->"


def insert_commands(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the help of all commands into a page that is being read, as the event "source-read" asks."""
    if _MARK in source[0] and page.endswith("reference/quic"):
        from adapters.cli import app as quic  # seconds, and for one page only

        command = get_command(quic)
        text = get_docs_for_click(obj=command, ctx=Context(command), indent=1, name="quic", title="The commands")
        source[0] = source[0].replace(_MARK, text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", insert_commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
