"""Make the pictures of docs/gallery.md from its own lines: run `python docs/images/make_gallery.py`."""

import re
from collections.abc import Iterator
from pathlib import Path

from matplotlib.axes import Axes

PAGE = Path(__file__).parents[1] / "gallery.md"
_PART = re.compile(r"^```python\n(?P<code>.*?)^```$|^!\[.*?\]\((?P<picture>images/gallery/.*?)\)$", re.M | re.S)


def drawings(page: str) -> Iterator[tuple[str, str, object]]:
    """Run the blocks of the page; of each with a picture, its path, its code and what it drew."""
    namespace: dict[str, object] = {"__name__": "__gallery__"}
    code = ""
    for part in _PART.finditer(page):
        if part["code"] is not None:
            code = part["code"]
            exec(code, namespace)
        else:
            yield part["picture"], code, namespace.pop("drawing")


def main() -> None:
    for picture, _, drawing in drawings(PAGE.read_text("utf-8")):
        figure = drawing.figure if isinstance(drawing, Axes) else drawing
        path = PAGE.parent / picture
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, dpi=100)
        print(picture)


if __name__ == "__main__":
    main()
