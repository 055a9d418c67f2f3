"""The website: `make site` shows READMEs, lessons, exercises and glossary as pages. Sphinx reads the very files, and runs none."""

import json
import re

project = "mmcourse"
root_doc = "README"
include_patterns = ["README*.md", "docs/*.md", "notebooks/*.ipynb", "exercises/*.ipynb"]
exclude_patterns = [".*", "site", "my_work", "shared"]
extensions = ["myst_nb", "sphinx.ext.mathjax"]
highlight_language = "none"
pygments_dark_style = "github-dark"       # the theme's own underlines modules, as if they were links
nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show, nb_code_prompt_hide = "Show the code", "Hide the code"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = project
html_show_sphinx = html_copy_source = html_show_copyright = html_use_index = smartquotes = False
html_static_path = ["../mmcourse/authoring/assets/mathjax", "site.css"]
html_css_files = ["site.css"]

# MathJax as the slides have it, from this folder: startup.js loads the other parts one after another; svg.js its font.
PARTS = {"core": "core", "input/tex-full": "tex-full", "output/svg": "svg", "a11y/assistive-mml": "assistive-mml"}
FILES = {**PARTS, "output/svg/fonts/tex": "svg-font"}
mathjax_path = "startup.js"
mathjax3_config = {"loader": {"load": [*PARTS], "source": {part: f"[mathjax]/{file}.js" for part, file in FILES.items()},
                              "dependencies": {part: [before] for before, part in zip(PARTS, [*PARTS][1:])}},
                   "svg": {"fontCache": "local"}}

CONTENTS = """

```{toctree}
:hidden:
:glob:
:caption: %s

%s
```
"""


def read(app, name, source):
    """What the pages need beside what stands in the files: a table of contents, alt texts where Sphinx looks for them."""
    if name == root_doc:
        source[0] += (CONTENTS % ("Lessons", "notebooks/*") + CONTENTS % ("Exercises", "exercises/*")
                      + CONTENTS % ("More", "docs/*\nREADME.zh"))
    elif name.startswith(("notebooks/", "exercises/")):
        notebook = json.loads(source[0])
        first = notebook["cells"][0]
        first["source"] = re.sub(r"^\[!\[Open in Colab\]\(.*?\)\]", "[Open in Colab]", "".join(first["source"]))
        for cell in notebook["cells"]:
            for output in cell.get("outputs", []):
                if "image/png" in output.get("metadata", {}):
                    cell["metadata"]["mystnb"] = {"image": output["metadata"]["image/png"]}
        source[0] = json.dumps(notebook)


def setup(app):
    app.connect("source-read", read)
