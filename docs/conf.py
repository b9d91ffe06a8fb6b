"""How Sphinx builds this site: `make docs`."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS)]  # the checkout itself, and from_source

import ablate  # noqa: E402

project = "ablate"
version = release = ablate.__version__
copyright = "the authors of ablate. Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton", "from_source"]
exclude_patterns = ["_build", "figures"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3  # so that pages can link to headings, as on GitHub

html_theme = "furo"
html_title = f"ablate {release}"
html_copy_source = False
html_show_sphinx = False
html_css_files = ["tables.css"]
html_static_path = ["_static"]

# Only commands and Python's input are copied, not what they print.
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
nitpicky = True
# The pages of other projects, which the build does not fetch, and types that are no part of the public API.
nitpick_ignore_regex = [
    ("py:.*", r"(pd|np|torch|pathlib|collections|PIL|numpy|pandas)\..*"),
    ("py:.*", r"Path|Tensor|Level|Record|Decoding|Classifier|Picture|NDArray|Sequence|Mapping|.*Frames"),
]
