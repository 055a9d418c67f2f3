"""`mmcourse build`: lessons/ -> notebooks/, exercises/, solutions/, the tables of the READMEs and docs/glossary.md.

A notebook is written again when what is built from its source (text, includes, templates) differs from the
file. It runs again only when its code differs, or a file of mmcourse/ or data/ that it opened in its last
run: `metadata.mmcourse.ran` keeps the digests of those. Changes of prose or badge keep the stored outputs.
"""

import difflib
import json
import re
import sys
import tomllib
from dataclasses import dataclass

import nbformat
from tqdm import tqdm

import mmcourse
from mmcourse import UsageError, files
from mmcourse.authoring import execute, syllabus
from mmcourse.authoring.notebook import BUILT, FOLDERS, notebook
from mmcourse.authoring.source import Source, folders, read

PLACEHOLDER = "OWNER"


@dataclass(frozen=True)
class Job:
    """One file to build: its source, its path below the checkout, and the notebook for it, not yet run."""

    source: Source
    path: str
    notebook: nbformat.NotebookNode

    @property
    def runs(self):
        return self.notebook.metadata.mmcourse.kind != "exercise"

    @property
    def advice(self):
        return f"run `mmcourse build {self.source.number}`"

    def cell(self, index):
        """How messages name a cell: its number and where it is written."""
        line = self.source.cells[index - BUILT].line if index >= BUILT else 1
        return f"{self.path}: cell {index + 1} ({self.source.shown}:{line})"


def build(numbers=None, check=False, repo=None):
    """Build the lessons with these numbers (all by default) and what is built from all headers; return 0, 1 for problems.

    With `check`, run and write nothing and list every difference from the files. `repo` ("OWNER/NAME") first
    sets the repository's address in pyproject.toml. Problems go to stderr; one faulty lesson does not stop
    the others. Raises UsageError for a number without a lesson and for an impossible `repo`.
    """
    root = mmcourse.root()
    lessons = folders(root)
    chosen = set(numbers or lessons)
    for number in chosen - set(lessons):
        there = ", ".join(map(str, lessons)) or "none yet"
        raise UsageError(f"There is no lesson {number}: lessons/ has {there}.")
    if repo is not None and check:
        raise UsageError("--check writes nothing: leave out --repo.")
    if repo is not None:
        set_repository(root, repo)
    sources, faulty = _sources(root, lessons)
    jobs, problems = _jobs(root, [source for source in sources if source.number in chosen], lessons)
    problems += [problem for number in sorted(chosen & set(faulty)) for problem in faulty[number]]
    if not numbers:
        problems += _orphans(root, lessons)
    for problem in problems:
        tqdm.write(problem, file=sys.stderr)
    done = []
    for job in (bar := tqdm(jobs, unit="notebook", leave=False, disable=None)):
        bar.set_description(job.path)
        found, what = (_compare if check else _make)(job, root)
        for problem in found:
            tqdm.write(problem, file=sys.stderr)
        problems += found
        done.append(what)
    if not faulty and all((root / FOLDERS["lesson"] / f"{source.name}.ipynb").exists() for source in sources):
        pages = _pages(root, sources, check)
        for problem in pages:
            tqdm.write(problem, file=sys.stderr)
        problems += pages
    print(", ".join(f"{done.count(what)} {what}" for what in dict.fromkeys(done)) or "nothing to build")
    return 1 if problems else 0


def _sources(root, lessons):
    """All sources that can be read, and the faults of the others by lesson number."""
    sources, faulty = [], {}
    for number, folder in lessons.items():
        for path in (folder / "lesson.py", folder / "exercises.py"):
            try:
                if path.name == "lesson.py" or path.exists():
                    sources.append(read(path, root))
            except UsageError as error:
                faulty.setdefault(number, []).extend(str(error).splitlines())
    return sources, faulty


def _jobs(root, sources, lessons):
    jobs, problems, address = [], [], repository(root)
    for source in sources:
        for kind in ("lesson",) if source.kind == "lesson" else ("exercise", "solution"):
            path = f"{FOLDERS[kind]}/{source.name}.ipynb"
            try:
                jobs.append(Job(source, path, notebook(source, kind, address, lessons)))
            except UsageError as error:
                problems.append(str(error))
    return jobs, problems


def _make(job, root):
    """Write a notebook if it has to change. Returns problems, which keep the old file, and what was done."""
    path, old, done = root / job.path, _stored(root / job.path), "written"
    if job.runs and not _keep_outputs(job.notebook, old, root):
        try:
            execute.run(job.notebook, root)
        except execute.CellFailed as error:
            return [_failure(job, error)], "failed"
        problems = [f"{job.cell(index)} `{job.notebook.cells[index].source.splitlines()[0]}`: {what}"
                    for index, what in execute.faults(job.notebook, root)]
        if problems:
            return problems, "refused"
        done = "run"
    nbformat.validate(job.notebook)
    text = nbformat.writes(job.notebook) + "\n"
    size = len(text.encode())
    if size > execute.MAX_BYTES:
        return [f"{job.path}: the file would have {size:,} bytes; draw smaller or fewer pictures, the limit "
                f"is {execute.MAX_BYTES:,}"], "refused"
    if old is not None and path.read_text(encoding="utf-8") == text:
        return [], "unchanged"
    write(path, text)
    return [], done


def _keep_outputs(new, old, root):
    """Give `new` the outputs of the notebook `old` if a run would do the same. Returns whether it did."""
    if old is None or _code(old) != _code(new) or _changed(old, root) or any(execute.faults(old, root)):
        return False
    stored = [cell for cell in old.cells if cell.cell_type == "code"]
    for cell, before in zip((cell for cell in new.cells if cell.cell_type == "code"), stored, strict=True):
        cell.outputs, cell.execution_count = before.outputs, before.execution_count
    new.metadata.mmcourse.ran = old.metadata.mmcourse.ran
    return True


def _code(nb):
    """What a run depends on: the code, without the set-up cell, whose address changes no output."""
    return [(cell.source, "raises-exception" in cell.metadata.get("tags", []))
            for cell in nb.cells if cell.cell_type == "code" and cell.get("id") != "setup"]


def _changed(nb, root):
    """The files that a stored notebook opened in its run and that are others now; all if it does not say."""
    ran = nb.metadata.get("mmcourse", {}).get("ran")
    if ran is None:
        return ["every file"]
    return [path for path, before in ran.items() if execute.digest(root / path) != before]


def _stored(path):
    """The notebook in a file, or None if there is none that can be read."""
    try:
        return nbformat.read(path, as_version=4)
    except Exception:      # nbformat fails in many ways on a file that is no notebook
        return None


def _failure(job, error):
    shown = job.notebook.cells[error.index].source.splitlines()
    code = "\n".join(f"    | {line}" for line in shown[:6] + ["..."] * (len(shown) > 6))
    report = "\n".join(f"    {line}" for line in error.report.splitlines())
    return f"{job.cell(error.index)} failed; the notebook stays as it was\n{code}\n{report}"


def _compare(job, root):
    """The differences between a notebook and its file, and a word for the result."""
    old = _stored(root / job.path)
    if old is None:
        return [f"{job.path}: the notebook is missing or cannot be read; {job.advice}"], "stale"
    problems = [f"{what}; {job.advice}" for what in _differences(job, old)]
    if job.runs:
        problems += [f"{job.path}: cell {index + 1}: {what}" for index, what in execute.faults(old, root)]
        changed = _changed(old, root)
        if changed and not problems:
            tqdm.write(f"note: {job.path} ran before a change of {', '.join(changed)}; {job.advice}")
    elif any(cell.get("outputs") or cell.get("execution_count") for cell in old.cells):
        problems.append(f"{job.path}: it holds outputs, which exercises must not; {job.advice}")
    size = (root / job.path).stat().st_size
    if size > execute.MAX_BYTES:
        problems.append(f"{job.path}: the file has {size:,} bytes; the limit is {execute.MAX_BYTES:,}")
    return problems, "stale" if problems else "up to date"


def _differences(job, old):
    """One line for each cell in which the stored notebook is not what the source says."""
    new = job.notebook
    before, now = [[_static(cell) for cell in nb.cells] for nb in (old, new)]
    found = []
    for _, i, i_end, j, j_end in difflib.SequenceMatcher(None, before, now, autojunk=False).get_opcodes():
        if before[i:i_end] == now[j:j_end]:
            continue
        both = min(i_end - i, j_end - j)
        found += [f"{job.cell(j + k)}: the notebook has another {_what(old.cells[i + k], new.cells[j + k])}"
                  for k in range(both)]
        found += [f"{job.cell(k)}: the notebook lacks this cell" for k in range(j + both, j_end)]
        found += [f"{job.path}: cell {k + 1}: the source has no such cell" for k in range(i + both, i_end)]
    if not found and _metadata(old) != _metadata(new):
        found.append(f"{job.path}: the notebook has other metadata")
    return found


def _static(cell):
    return json.dumps([cell.cell_type, cell.get("id"), cell.source, cell.metadata], sort_keys=True)


def _metadata(nb):
    return {**nb.metadata, "mmcourse": {**nb.metadata.get("mmcourse", {}), "ran": None}}


def _what(old, new):
    """The first thing in which two cells differ."""
    return next((key for key in ("cell_type", "source", "metadata") if old[key] != new[key]), "id")


def _orphans(root, lessons):
    """Built notebooks whose source is gone."""
    sources = {"lesson": "lesson.py", "exercise": "exercises.py", "solution": "exercises.py"}
    return [f"{folder}/{path.name}: lessons/{path.stem}/{sources[kind]} does not exist; delete the notebook"
            for kind, folder in FOLDERS.items() for path in sorted((root / folder).glob("*.ipynb"))
            if not (root / "lessons" / path.stem / sources[kind]).exists()]


def _pages(root, sources, check):
    """Bring the READMEs' tables and the glossary up to date, or only say that they are not."""
    lessons, sets = ([source for source in sources if source.kind == kind] for kind in ("lesson", "exercises"))
    texts = {name: (root / name).read_text(encoding="utf-8") if (root / name).exists() else ""
             for name in ("README.md", "README.zh.md", "docs/glossary.md")}
    problems = []
    try:
        wanted = {"docs/glossary.md": syllabus.glossary(lessons),
                  "README.md": syllabus.readme(texts["README.md"], lessons, sets)}
        if texts["README.zh.md"]:
            wanted["README.zh.md"] = syllabus.readme(texts["README.zh.md"], lessons, sets, "zh")
    except UsageError as error:
        return [str(error)]
    for name, text in wanted.items():
        if check and texts[name] != text:
            what = "glossary" if name.startswith("docs") else "syllabus"
            problems.append(f"{name}: the {what} is not what the headers of the lessons say; run `mmcourse build`")
        elif texts[name] != text:
            write(root / name, text)
    return problems


def repository(root):
    """The repository's address in pyproject.toml, or None while its owner is the placeholder."""
    urls = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    return None if f"/{PLACEHOLDER}/" in urls["Repository"] else urls["Repository"]


def set_repository(root, repo):
    """Write the address of `repo`, OWNER/NAME on GitHub, into pyproject.toml. May raise UsageError."""
    if not re.fullmatch(r"[A-Za-z0-9](-?[A-Za-z0-9])*/[A-Za-z0-9._-]+", repo):
        raise UsageError(f"{repo!r} is no repository on GitHub: write it as OWNER/NAME.")
    path = root / "pyproject.toml"
    text, count = re.subn(r'(?m)^(Repository\s*=\s*)"[^"\n]*"', rf'\1"https://github.com/{repo}"',
                          path.read_text(encoding="utf-8"))
    if count != 1:
        raise UsageError("pyproject.toml has no line `Repository = ...` under [project.urls]: add it.")
    write(path, text)


def write(path, text):
    """Write a text file whole or not at all. May raise UsageError."""
    try:
        path.parent.mkdir(exist_ok=True)
        files.write(path, text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}): make its folder writable.") from None
