"""Marking many files: several at a time, each in a process of its own, each result kept as soon as it is there."""

import hashlib
import json
import multiprocessing
import os
import re
import secrets
import signal
import sys
import time
from multiprocessing.connection import wait
from pathlib import Path

import mmcourse
from mmcourse import UsageError, checks, progress
from mmcourse.files import write as write_file
from mmcourse.grading import judge, sandbox, submission

GRACE = 120                       # seconds beyond judge.FILE_SECONDS after which a marking process is given up
BESIDE = {"__MACOSX", "timestamp.txt"}        # what systems lay beside what was handed in
WORKER_MEMORY = 12 * 2 ** 30      # bytes of address space of a marking process


def files(paths):
    """The notebooks that paths name, {path: student}: files as they are, and every .ipynb in folders, checkpoints left out.

    Returns them and a sentence on each folder that holds none, and on all else that lies in a folder of submissions.
    """
    found, problems = {}, []
    for path in map(Path, paths):
        if not path.is_dir() or path.is_symlink():
            found.setdefault(path, student(path.absolute().parent, (path.name,)))
            continue
        inside = sorted(one for one in path.rglob("*") if one.suffix.lower() == ".ipynb"
                        if not {".ipynb_checkpoints", "__MACOSX"} & set(one.parts) and not one.name.startswith("._"))
        within = {one: one.relative_to(path).parts for one in inside}
        for one, parts in within.items():
            found.setdefault(one, student(path.absolute(), parts))
        empty = [path] if not inside else [] if own([path]) else sorted(
            one for one in path.iterdir() if one.name not in {parts[0] for parts in within.values()} | BESIDE
            and not one.name.startswith("."))
        problems += [submission.shown(f"{one} holds no notebook (.ipynb): nothing of it is marked.") for one in empty]
    return found, problems


def own(paths):
    """Are these the learner's own files, or the course's?"""
    mine = progress.folder(), *(mmcourse.root() / name for name in ("exercises", "solutions", "notebooks"))
    places = [Path(os.path.abspath(path)) for path in paths]
    return all(any(place.is_relative_to(folder) for folder in mine) for place in places)


def student(folder, parts):
    """Who handed in the file folder / parts: by the names that Canvas, Moodle and nbgrader give; else the name of the first
    folder in `folder`, the one that the teacher named, else the file's.

    The outermost name counts, because what lies further in is the student's own: a folder in a zip may have any name.
    """
    if "submitted" in (named := (*folder.parts, *parts[:1])):                   # nbgrader: submitted/ana/11/11_attention.ipynb
        inside = (*folder.parts, *parts)[len(named) - named[::-1].index("submitted"):]
        if len(inside) > 1:
            return inside[0]
    for part in (folder.name, *parts):
        if match := re.match(r".+?_(\d+)_assignsubmission_file", part):         # Moodle: Ana Sol_1234_assignsubmission_file_
            return match[1]
        if match := re.match(r"[^_]+(?:_LATE)?_(\d+)_(\d+)_.+\.ipynb$", part):  # Canvas: solana_1234_98765_11_attention.ipynb
            return match[1]
    if len(parts) > 1:
        return parts[0]
    stem = Path(parts[0]).stem
    given = re.sub(r" ?\(\d+\)$|-Copy\d+$|-\d+$| copy$", "", stem)              # what a browser or JupyterLab adds
    as_given = (mmcourse.root() / "exercises" / f"{given}.ipynb").exists()
    return folder.name if as_given and folder.name else stem


class Store:
    """The folder of a run: run.json with the secret seed, marks/ with one file for each submission. None: no folder."""

    def __init__(self, folder):
        self.folder, self.seed = folder and Path(folder), secrets.token_hex(16)
        if not folder:
            return
        try:
            (self.folder / "marks").mkdir(parents=True, exist_ok=True)
            about = self.folder / "run.json"
            if about.exists():
                self.seed = str(json.loads(about.read_text("utf-8"))["seed"])
            else:
                write(about, json.dumps({"seed": self.seed, "began": time.strftime("%Y-%m-%d %H:%M:%S"),
                                         "mmcourse": mmcourse.__version__}, indent=1))
        except (ValueError, KeyError, TypeError):
            raise UsageError(f"{about} is not the record of a run: choose another folder for the report.") from None
        except OSError as error:
            raise UsageError(f"{self.folder} cannot be written ({error.strerror}): choose another folder for the report."
                             ) from None

    def _place(self, path):
        name = hashlib.sha256(os.path.abspath(path).encode("utf-8", "surrogatepass")).hexdigest()[:24]
        return self.folder / "marks" / f"{name}.json"

    def done(self, path, boxed):
        """The kept result of a file, None when it has to be marked: file or exercises have changed, or there was no sandbox."""
        try:
            result = json.loads(self._place(path).read_text("utf-8"))
            stem = result["stem"]
            same = (result["sha256"], result["set"], result["checks"]) == (fingerprint(path), _set_hash(stem), _checks_hash(stem))
            safe = result["boxed"] or not boxed
            fault = any(mark["verdict"] == "grader error" for mark in result["marks"])
            return result if same and safe and not fault else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError):
            return None

    def keep(self, path, result):
        """Write a result. A full disk gets a sentence on stderr, and the marks are still shown."""
        try:
            write(self._place(path), json.dumps(result, indent=1))
        except OSError as error:
            print(f"mmcourse: the marks of {result['file']} could not be kept ({error.strerror}).", file=sys.stderr)


def write(path, text):
    """Write a file that only its owner may read, as a whole or not at all."""
    write_file(path, text, 0o600)


def fingerprint(path):
    return hashlib.sha256(submission.content(path)).hexdigest()


def _set_hash(stem):
    return submission.master(stem).metadata.get("mmcourse", {}).get("source_hash", "")


def _checks_hash(stem):
    found = checks.find(f"{stem[:2]}.1").judge
    return hashlib.sha256(b"".join(Path(sys.modules[name].__file__).read_bytes() for name in (checks.__name__, found.__module__))
                          ).hexdigest()


def mark(path, who, seed, boxed, slot=0):
    """Mark one file: a dict with its marks, or with a "problem", one sentence, when it cannot be judged."""
    about = _about(path, who)
    try:
        about |= {"sha256": fingerprint(path), "time": os.stat(path).st_mtime}
        stem, answers = submission.read(path)
        about |= {"stem": stem, "set": _set_hash(stem), "checks": _checks_hash(stem), "boxed": boxed is not None}
        old = submission.version(path)
        about["note"] = "made from another version of the exercises" if old not in (None, about["set"]) else ""
        marks = judge.judge(submission.master(stem), answers, seed, boxed, slot)
        return about | {"marks": [vars(one) for one in marks]}
    except UsageError as error:
        return about | {"problem": submission.shown(str(error))}
    except MemoryError:
        return about | {"problem": f"{about['file']} cannot be read: it takes more memory than there is."}
    except Exception as error:                       # a fault of ours: said as such, and the others go on
        what = submission.shown(f"{type(error).__name__}: {error}")
        return about | {"problem": f"{about['file']} could not be judged, by a fault of the grader ({what})."}


def _about(path, who):
    return {"file": submission.shown(str(path)), "student": submission.shown(who)}


def mark_all(students, store, boxed, jobs, each):
    """Mark files {path: student}, `jobs` at a time, and call each(path, result) in the order in which they are done."""
    waiting = []
    for path, who in students.items():
        result = store.done(path, boxed) if store.folder else None
        if result:
            each(path, result | _about(path, who))
        else:
            waiting.append(path)
    if not waiting:
        return
    import torch
    torch.set_num_threads(1)
    running, slot = {}, os.getpid()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                slot += 1
                path = waiting.pop(0)
                running |= _begin(path, students[path], store.seed, boxed, slot)
            for pipe in wait(list(running), timeout=1):
                path, process, _ = running.pop(pipe)
                result = _received(pipe, path, students[path])
                process.join()
                if store.folder and "problem" not in result:
                    store.keep(path, result)
                each(path, result)
            for pipe, (path, process, since) in list(running.items()):
                if time.monotonic() - since > judge.FILE_SECONDS + GRACE:
                    sandbox.end_family(process.pid)
    finally:
        for _, process, _ in running.values():
            sandbox.end_family(process.pid)
            process.join()


def _begin(path, who, seed, boxed, slot):
    method = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    here, there = method.Pipe(duplex=False)
    process = method.Process(target=_work, args=(path, who, seed, boxed, slot, there), daemon=False)
    process.start()
    there.close()
    return {here: (path, process, time.monotonic())}


def _work(path, who, seed, boxed, slot, pipe):
    """The marking process of one file. It dies with the one that started it."""
    sandbox.die_with_parent()
    sandbox.limit_addresses(WORKER_MEMORY)
    signal.signal(signal.SIGINT, signal.SIG_IGN)     # Ctrl+C: the first process ends this one
    pipe.send_bytes(json.dumps(mark(path, who, seed, boxed, slot)).encode())
    pipe.close()
    os._exit(0)


def _received(pipe, path, who):
    try:
        return json.loads(pipe.recv_bytes())
    except (EOFError, OSError, ValueError):
        about = _about(path, who)
        return about | {"problem": f"{about['file']} could not be judged: the grader's process for it ended. Try it again, "
                                   "alone."}
    finally:
        pipe.close()
