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
from mmcourse import UsageError, progress
from mmcourse.files import write as write_file
from mmcourse.grading import judge, sandbox, submission

GRACE = 120                       # seconds beyond judge.FILE_SECONDS after which a marking process is given up
WORKER_MEMORY = 12 * 2 ** 30      # bytes of address space of a marking process


def files(paths):
    """The notebooks that paths name: files as they are, and every .ipynb in folders, checkpoints left out.

    Returns them and the sentences on folders that hold none.
    """
    found, problems = [], []
    for path in map(Path, paths):
        if not path.is_dir() or path.is_symlink():
            found.append(path)
            continue
        inside = sorted(one for one in path.rglob("*.ipynb")
                        if not {".ipynb_checkpoints", "__MACOSX"} & set(one.parts) and not one.name.startswith("._"))
        found += inside
        if not inside:
            problems.append(submission.shown(f"{path} holds no notebook: give the folder with the submissions."))
    return list(dict.fromkeys(found)), problems


def own(paths):
    """Are these the learner's own files, or the course's?"""
    mine = progress.folder(), *(mmcourse.root() / name for name in ("exercises", "solutions", "notebooks"))
    places = [Path(os.path.abspath(path)) for path in paths]
    return all(any(place.is_relative_to(folder) for folder in mine) for place in places)


def student(path):
    """Who handed a file in, by the names that Canvas, Moodle and nbgrader give; else the folder's or the file's name."""
    path = Path(path)
    for part in reversed(path.parts[-3:]):
        if match := re.match(r"(.+)_(\d+)_assignsubmission_file", part):       # Moodle: Ana Sol_1234_assignsubmission_file_
            return match[2]
        if match := re.match(r"[^_]+(?:_LATE)?_(\d+)_(\d+)_.+\.ipynb$", part):  # Canvas: solana_1234_98765_11_attention.ipynb
            return match[1]
    if "submitted" in path.parts[:-2]:          # nbgrader: submitted/ana/11/11_attention.ipynb
        return path.parts[path.parts.index("submitted") + 1]
    given = re.sub(r" ?\(\d+\)$|-Copy\d+$|-\d+$| copy$", "", path.stem)         # what a browser or JupyterLab adds
    as_given = (mmcourse.root() / "exercises" / f"{given}.ipynb").exists()
    return path.parent.name if as_given and path.parent.name else path.stem


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

    def done(self, path):
        """The kept result of a file that has not changed since, None when it has to be marked."""
        try:
            result = json.loads(self._place(path).read_text("utf-8"))
            same = result["sha256"] == fingerprint(path) and result["set"] == _set_hash(result["stem"])
            return result if same and not any(mark["verdict"] == "grader error" for mark in result["marks"]) else None
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


def mark(path, seed, boxed, slot=0):
    """Mark one file: a dict with its marks, or with a "problem", one sentence, when it cannot be judged."""
    about = _about(path)
    try:
        about |= {"sha256": fingerprint(path), "time": os.stat(path).st_mtime}
        stem, answers = submission.read(path)
        about |= {"stem": stem, "set": _set_hash(stem)}
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


def _about(path):
    return {"file": submission.shown(str(path)), "student": submission.shown(student(path))}


def mark_all(paths, store, boxed, jobs, each):
    """Mark files, `jobs` at a time, and call each(path, result) in the order in which they are done."""
    waiting = []
    for path in paths:
        result = store.done(path) if store.folder else None
        if result:
            each(path, result)
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
                running |= _begin(path, store.seed, boxed, slot)
            for pipe in wait(list(running), timeout=1):
                path, process, _ = running.pop(pipe)
                result = _received(pipe, path)
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


def _begin(path, seed, boxed, slot):
    method = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    here, there = method.Pipe(duplex=False)
    process = method.Process(target=_work, args=(path, seed, boxed, slot, there), daemon=False)
    process.start()
    there.close()
    return {here: (path, process, time.monotonic())}


def _work(path, seed, boxed, slot, pipe):
    """The marking process of one file. It dies with the one that started it."""
    sandbox.die_with_parent()
    sandbox.limit_addresses(WORKER_MEMORY)
    signal.signal(signal.SIGINT, signal.SIG_IGN)     # Ctrl+C: the first process ends this one
    pipe.send_bytes(json.dumps(mark(path, seed, boxed, slot)).encode())
    pipe.close()
    os._exit(0)


def _received(pipe, path):
    try:
        return json.loads(pipe.recv_bytes())
    except (EOFError, OSError, ValueError):
        about = _about(path)
        return about | {"problem": f"{about['file']} could not be judged: the grader's process for it ended. Try it again, "
                                   "alone."}
    finally:
        pipe.close()
