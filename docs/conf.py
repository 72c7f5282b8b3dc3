"""How Sphinx builds these pages; nothing is fetched."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from lambent import __version__

project = "Lambent"
author = "The Lambent contributors"
copyright = "The Lambent contributors"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # formulas are drawn by what lies beside the pages, not by a server's script
    "generated",
]
exclude_patterns = ["_build", "reliability-table.md"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

smartquotes = False  # two dashes are a flag

html_theme = "furo"
html_title = f"Lambent {release}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_sphinx = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 100

nitpicky = True  # every name that a signature mentions is explained, but for those of other packages
OTHERS = r"(torch|numpy|collections|pathlib|typing|os)\b.*|Tensor|Any|optional"
nitpick_ignore_regex = [("py:.*", OTHERS), ("py:class", r"lambent\.part\.P|.*\[.*")]
