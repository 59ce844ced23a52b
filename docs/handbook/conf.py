# Settings of Sphinx for the handbook, see tools/make-handbook. Pages keep their places in the sources, so that links between
# them lead there in both.
import os
import posixpath

from pygments.lexers.configs import IniLexer
from pygments.lexers.special import TextLexer
from sphinx.util.nodes import make_refnode

project = "libasynq"
author = "The libasynq authors"
version = release = os.environ["HANDBOOK_VERSION"]

extensions = ["myst_parser"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
root_doc = "index"
myst_heading_anchors = 4  # as GitHub makes them
# Templates in YAML; and what myst-parser 4 says of links that lead out of the handbook before outside() is asked. Debian 12's
# fails at a link that leads nowhere, and so does tools/check-handbook.
suppress_warnings = ["misc.highlighting_failure", "myst.xref_missing"]

html_theme = "alabaster"
html_theme_options = {"page_width": "auto", "body_max_width": "60em", "sidebar_width": "16em", "fixed_sidebar": True, "show_powered_by": False}
html_title = f"libasynq {release}"
html_sidebars = {"**": ["about.html", "searchbox.html", "navigation.html"]}
html_static_path = ["handbook.css"]
html_css_files = ["handbook.css"]
html_copy_source = False
html_show_copyright = False
html_use_index = False


def outside(app, env, node, text):
    """A link to a folder leads to its README, one to what is in the sources only becomes text."""
    folder = posixpath.dirname(node["refdoc"])
    target = posixpath.normpath(posixpath.join(folder, node["reftarget"].split("#")[0]))
    if f"{target}/README" in env.found_docs:
        return make_refnode(app.builder, node["refdoc"], f"{target}/README", "", text)
    if target.split("/")[0] not in ("docs", "manual", ".", "README.md"):
        return text
    return None


def setup(app):
    app.add_lexer("conf", IniLexer)
    app.add_lexer("vectors", TextLexer)
    app.connect("missing-reference", outside)
