"""Settings of the documentation site: ``make docs`` builds it, without a network."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_extensions"), str(HERE.parent), str(HERE.parent / "plugins" / "baselines")]

from api_pages import NAMESPACES  # noqa: E402

import alkit  # noqa: E402

project = "alkit"
author = "The alkit developers"
project_copyright = "The alkit developers, Apache-2.0"
version = release = alkit.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "api_pages",
]
exclude_patterns = ["_build", "figures", "_extensions"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

default_role = "code"
nitpicky = True
# A reference to a public name must resolve. One to a library or to an internal file is shown as plain code.
SPACES = "|".join(name.replace(".", r"\.") for name in NAMESPACES)
nitpick_ignore_regex = [
    (r"py:mod", rf"(?!({SPACES})$).*"),
    (r"py:(?!mod).*", rf"(?!alkit\.[A-Z]|({SPACES})\.[A-Za-z]\w*$).*"),
]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autosummary_generate = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_attr_annotations = False
napoleon_custom_sections = ["Deviation", "Deviations", "Reference"]

html_theme = "furo"
html_title = f"alkit {release}"
html_static_path = ["_static"]
html_css_files = ["alkit.css"]
html_show_sphinx = False
html_show_sourcelink = False
html_copy_source = False
copybutton_exclude = ".linenos, .gp, .go"
