"""Run a notebook as a learner would, and look at what came out of it."""

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from nbformat import v4

MAX_BYTES = 500_000
# WATCH runs before the first cell and notes which files the notebook opens; TELL prints them at the end.
# Neither uses a name that a lesson could overwrite.
WATCH = """
def watch(sys, opened, str=str):
    sys.mmcourse_opened = opened
    sys.addaudithook(lambda event, args: opened.add(str(args[0])) if event == "open" else None)
watch(__import__("sys"), set())
del watch
"""
TELL = '__import__("builtins").print(*__import__("sys").mmcourse_opened, sep="\\n")'


class CellFailed(Exception):
    """A cell raised, ran out of time or killed its kernel: its `index`, and a `report` in plain text."""

    def __init__(self, index, report):
        super().__init__(report)
        self.index, self.report = index, report


def run(notebook, root, timeout=300):
    """Run all cells of `notebook` in place, in a fresh kernel of this Python and an empty temporary folder.

    The kernel takes the package from the checkout `root` and has MMCOURSE_STATIC=1; nobody's progress is in
    its reach. Each cell has `timeout` seconds. Stores in `metadata.mmcourse.ran` the files of mmcourse/ and data/
    that it opened. Raises CellFailed.
    """
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpecManager
    from nbclient import NotebookClient

    # A kernel specification manager that knows no folders knows one kernel, that of the running Python.
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = NotebookClient(notebook, km=manager, timeout=timeout, record_timing=False, coalesce_streams=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder, "work")
        work.mkdir()
        environment = os.environ | {"MMCOURSE_STATIC": "1", "MMCOURSE_WORK": str(Path(folder, "my_work")),
                                    "PYTHONPATH": str(root), "IPYTHONDIR": folder}
        # What cells write to stderr comes as output; what is left of it is the kernel's talk about itself.
        with client.setup_kernel(cwd=str(work), env=environment, stderr=subprocess.DEVNULL, cleanup_kc=True):
            _quietly(client, WATCH)
            _run_cells(client)
            opened = _quietly(client, TELL)
    notebook.metadata.mmcourse.ran = _digests(opened.splitlines(), root)


def _quietly(client, code):
    """What `code` prints, run in the notebook's kernel without a trace in the notebook or its counting."""
    cells = client.nb.cells
    cells.append(v4.new_code_cell(code))
    client.execute_cell(cells[-1], len(cells) - 1, store_history=False)
    return "".join(output.text for output in cells.pop().outputs if output.output_type == "stream")


def _run_cells(client):
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from nbconvert.filters import strip_ansi

    count = 0
    for index, cell in enumerate(client.nb.cells):
        count += cell.cell_type == "code"
        try:
            client.execute_cell(cell, index, execution_count=count)
        except CellExecutionError as error:
            shown = [output.traceback for output in cell.outputs if output.output_type == "error"]
            raise CellFailed(index, strip_ansi("\n".join(shown[-1] if shown else [str(error)]))) from None
        except CellTimeoutError:
            raise CellFailed(index, f"The cell ran longer than {client.timeout} seconds.") from None
        except DeadKernelError:
            raise CellFailed(index, "The kernel died; perhaps the machine ran out of memory.") from None


def _digests(paths, root):
    """{path below root: digest} of the files in mmcourse/ and data/; a compiled file counts as its source."""
    folders, found = (root.resolve() / "mmcourse", root.resolve() / "data"), set()
    for path in map(Path, paths):
        if path.parent.name == "__pycache__" and path.suffix == ".pyc":
            path = Path(importlib.util.source_from_cache(str(path)))
        if path.is_file() and any(path.resolve().is_relative_to(folder) for folder in folders):
            found.add(path.resolve().relative_to(root.resolve()).as_posix())
    return {path: digest(root / path) for path in sorted(found)}


def digest(path):
    """Twelve digits of the sha256 of a file, or None if it is not there."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else None


def faults(notebook, root):
    """(index of the cell, sentence) for everything in the outputs of a notebook that must not be stored."""
    count, local = 0, _local(root)
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        count += 1
        if cell.execution_count != count:
            yield index, f"the cell has not run in order; its count is {cell.execution_count}, not {count}"
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", []):
                yield index, f'the output is an error, {output.ename}; if meant, tag it "raises-exception"'
            if found := local.search(_text(output)):
                yield index, f"the output shows {found[0]!r}, true only here and now; do not print it"
            yield from ((index, what) for what in _output_faults(output))
    if "widgets" in notebook.metadata:
        yield 0, "the notebook stores the state of widgets; build it again"


def _output_faults(output):
    data, metadata = output.get("data", {}), output.get("metadata", {})
    for mime in (mime for mime in data if mime.startswith("image/")):
        if not str(metadata.get(mime, {}).get("alt", "")).strip():
            yield "the picture has no alt text; show it with mmcourse.show and alt=\"what one sees\""
    if re.search(r"<img\b(?![^>]*\balt=)", str(data.get("text/html", ""))):
        yield "the HTML has a picture without alt text; add alt=\"what one sees\""
    if "application/vnd.jupyter.widget-view+json" in data:
        yield "a widget stands in the output; show it only if mmcourse.widgets.interactive()"


def _text(output):
    """All text that an output shows."""
    data = output.get("data", {})
    shown = [data[mime] for mime in data if mime not in ("image/png", "image/jpeg")]
    shown += [output.get("text", ""), output.get("evalue", ""), *output.get("traceback", [])]
    return "\n".join(map(str, shown))


def _local(root):
    """A pattern for what only this machine or this run would print: its folders, and addresses of objects."""
    folders = {str(root), str(Path.home()), sys.prefix, tempfile.gettempdir()} - {os.sep}
    names = "|".join(re.escape(name) for name in sorted(folders, key=len, reverse=True))
    return re.compile(rf"(?<![\w.~-])(?:{names})(?![\w-])| at 0x[0-9a-fA-F]+>")
