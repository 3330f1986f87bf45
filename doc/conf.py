"""How the documents are built: ``make doc``. Nothing is fetched, and no page needs a network."""

import configparser
from pathlib import Path

_metadata = configparser.ConfigParser()
_metadata.read(Path(__file__).parent.parent / "setup.cfg")

project = "smtpclient"
version = release = _metadata["metadata"]["version"]
root_doc = "index"
exclude_patterns = ["_build"]
highlight_language = "none"
html_theme = "alabaster"
html_theme_options = {
    "description": _metadata["metadata"]["description"],
    "fixed_sidebar": True,
    "show_powered_by": False,
    "page_width": "1100px",
}
html_show_copyright = False
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
