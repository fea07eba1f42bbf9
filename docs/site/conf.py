"""The documentation site: Sphinx reads docs/, notebooks/ and the pages beside README.md; `make docs` builds it.

The source directory is the repository's root, so that a link between pages is the same on the site and on GitHub.
"""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the extensions beside this file

project = "qicircuits"
version = release = version_of("qicircuits")
root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/*.ipynb", "CHANGELOG.md", "CONTRIBUTING.md", "README.md"]
exclude_patterns = [".*", "adapters", "build", "data-cache", "dist", "qicircuits", "runs", "tests", "**/__pycache__"]
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "plain_docstrings",
    "short_signatures",
    "mathml",
    "command_reference",
]
default_role = "py:obj"
smartquotes = False  # W' is no quotation, and --seed no dash

myst_heading_anchors = 3
nb_execution_mode = "cache"  # a notebook runs again when one of its cells has changed
nb_execution_raise_on_error = True
nb_execution_timeout = 600  # seconds a cell, on a machine that is busy
nb_merge_streams = True
nb_output_stderr = "remove"  # what libraries log when they are imported

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_custom_sections = [("Reference", "References")]

suppress_warnings = ["misc.highlighting_failure"]  # of languages that Pygments has no colours for

html_theme = "furo"
html_title = "qicircuits"
html_math_renderer = "mathml"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["wide.css"]
templates_path = ["."]
html_additional_pages = {"index": "start.html"}  # the site opens on its first page
