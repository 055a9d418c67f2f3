"""The desk: JupyterLab at the next lesson, exercises in my_work/, what is passed, what is missing."""

import importlib.metadata
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.parse
import urllib.request
from pathlib import Path

import mmcourse
from mmcourse import UsageError, progress as store


def lessons():
    """The stems of the built lessons in order, such as "11_attention". UsageError when there are none."""
    stems = sorted(path.stem for path in (mmcourse.root() / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not stems:
        raise UsageError(f"There are no lessons in {mmcourse.root() / 'notebooks'}: run `mmcourse build`.")
    return stems


def next_exercise():
    """(lesson's stem, exercise's id) of the first exercise that is not passed yet, None when all are."""
    passed = store.load()
    return next(((stem, exercise) for stem, points in store.catalogue().items() for exercise in points
                 if exercise not in passed), None)


# ---- mmcourse lab ----

def lab(lesson=None, port=None, browser=True):
    """Copy new exercises into my_work/ and run JupyterLab at a lesson (its number), by default the next one.

    Returns the server's exit code. Raises UsageError for an unknown lesson, a port in use, a missing package
    and a folder that cannot be written.
    """
    for package in ("jupyterlab", "ipykernel", "torch"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"{package} is not installed for this Python: {_install()}.")
    stem, port = _lesson(lesson), _port(port)
    copy_exercises()
    _home()
    page = f"/lab/tree/notebooks/{stem}.ipynb"
    command = [sys.executable, "-m", "jupyterlab", f"--port={port}", "--ServerApp.port_retries=0",
               f"--ServerApp.root_dir={mmcourse.root()}", f"--LabApp.default_url={page}",
               f"--LabApp.workspaces_dir={store.folder() / '.lab'}", "--LabApp.extension_manager=readonly",
               "--LabApp.log_level=ERROR", "--ServerApp.log_level=ERROR"]
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")               # as in every container; the token stays on
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_hex(24)
    settings = filter(None, [str(Path(__file__).with_name("jupyter")), os.environ.get("JUPYTER_CONFIG_PATH")])
    environment = {"JUPYTER_TOKEN": token, "JUPYTER_CONFIG_PATH": os.pathsep.join(settings)}
    server = subprocess.Popen(command, cwd=mmcourse.root(), env=os.environ | environment)
    _pass_signals_to(server)
    token = urllib.parse.quote(token, safe="")
    if _listens(server, port, token):
        print(f"JupyterLab is open at lesson {_title(stem)}:\n  http://localhost:{port}{page}?token={token}\n"
              f"Your exercises are in {store.folder().name}/, and `mmcourse progress` shows what is passed.\n"
              "Ctrl+C in this window stops JupyterLab.", flush=True)
    code = server.wait()
    return code if code >= 0 else 128 - code         # as a shell says it when a signal ended the process


def copy_exercises():
    """Copy every exercise notebook that my_work/ does not have yet. What is there stays, byte for byte."""
    folder, new, newer, broken = store.folder(), [], [], []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in sorted((mmcourse.root() / "exercises").glob("*.ipynb")):
            target = folder / source.name
            if _create(target, source.read_bytes()):
                new.append(source.name)
            elif (version := _version(target)) != _version(source):
                (newer if version else broken).append(source.name)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror}): clone the course into a folder "
                         "of your own, or name one in the variable MMCOURSE_WORK.") from None
    if new:
        print(f"New in {folder.name}/: {', '.join(new)}")
    if newer:
        print(f"The course has a newer version of {', '.join(newer)}. Yours stays as it is: to get "
              f"the new one, rename yours in {folder.name}/ and start again.")
    if broken:
        print(f"In {folder.name}/, {', '.join(broken)} cannot be read as a notebook of the course: to get it anew, rename yours "
              "and start again.")


def _home():
    """Raises UsageError where Jupyter cannot keep its own files: it would end in a page of errors."""
    from jupyter_core.paths import jupyter_runtime_dir
    place = jupyter_runtime_dir()
    try:
        os.makedirs(place, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise UsageError(f"Jupyter cannot write to {place} ({error.strerror}): name a folder of your own in the variable "
                         "JUPYTER_RUNTIME_DIR.") from None


def _create(path, content):
    """Write a new file. False, and nothing touched, when something has that name already."""
    try:
        file = open(path, "xb")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(content)
    except BaseException:
        path.unlink()
        raise
    return True


def _version(path):
    """The hash of what an exercise notebook was built from, None when that cannot be read."""
    try:
        return json.loads(path.read_text("utf-8"))["metadata"]["mmcourse"]["source_hash"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _title(stem):
    """"11 attention" for "11_attention"."""
    return stem.replace("_", " ")


def _lesson(number):
    """The stem of a lesson; without a number the first one with an exercise that is not passed yet."""
    stems = lessons()
    if number is None:
        following = next_exercise() if store.load() else None
        return following[0] if following and following[0] in stems else stems[0]
    for stem in stems:
        if int(stem[:2]) == number:
            return stem
    raise UsageError(f"There is no lesson {number:02}: choose one of {', '.join(map(_title, stems))}.")


def _port(wanted):
    """The wanted port if it is free, without one the first free from 8888 on."""
    start = wanted or 8888
    free = next((port for port in range(start, min(start + 100, 65536)) if _is_free(port)), None)
    if free is None or wanted and free != wanted:
        advice = f"`mmcourse lab --port {free}` would work" if free else "choose a smaller one with --port"
        raise UsageError(f"Port {start} is in use: {advice}.")
    return free


def _is_free(port):
    try:
        socket.create_server(("127.0.0.1", port)).close()
        return True
    except OSError:
        return False


def _listens(server, port, token):
    """Wait until the server answers to its token. False when it ends before that, as when another took its port."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while server.poll() is None:
        try:
            direct.open(f"http://127.0.0.1:{port}/api/status?token={token}", timeout=5).close()
            return True
        except OSError:
            time.sleep(0.1)
    return False


def _pass_signals_to(server):
    """End the server when this process is told to. A terminal's Ctrl+C reaches it anyway."""
    def stop(number, frame):
        if number != signal.SIGINT or not sys.stdin.isatty():
            server.terminate()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), stop)


# ---- mmcourse progress ----

def progress():
    """Print what is passed, lesson by lesson, and what comes next."""
    sets, passed, got, of = store.catalogue(), store.load(), 0, 0
    if not sets:
        raise UsageError("There are no exercises in exercises/: run `mmcourse build`.")
    for stem, exercises in sets.items():
        print(_title(stem))
        for exercise, points in exercises.items():
            mine = passed.get(exercise, {"points": 0})["points"]
            print(f"  {exercise:8}{mine:>3} of {points:<5}{'passed' if exercise in passed else ''}".rstrip())
            got, of = got + mine, of + points
    print(f"total     {got:>3} of {of}")
    if following := next_exercise():
        stem, exercise = following
        print(f"Next: {exercise} in {store.folder().name}/{stem}.ipynb. `mmcourse lab` opens its lesson.")
    else:
        print("Next: nothing is left, you passed every exercise.")


# ---- mmcourse doctor ----

TORCH = """
import torch
device = "cuda" if torch.cuda.is_available() else "cpu"
assert (torch.ones(8, 8, device=device) @ torch.ones(8, 8, device=device)).sum() == 512
print(torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU threads")
"""


def doctor():
    """Print [ok], or [fix] and what to do, for each thing the course needs. Returns 1 if there is a [fix]."""
    pipe, fixes = subprocess.PIPE, 0
    torch = subprocess.Popen([sys.executable, "-c", TORCH], stdout=pipe, stderr=pipe, text=True)
    print(f"[ok] Python {sys.version.split()[0]} in {sys.prefix}")
    for text, advice in (*_packages(), _kernel(), *_space(), _writing(), _lessons(), _torch(torch)):
        print(f"[fix] {text}: {advice}." if advice else f"[ok] {text}", flush=True)
        fixes += advice is not None
    if changed := _changed_lessons():
        print(f"[..] You changed {', '.join(changed)}. Before you update the course, keep a copy in my_work/ "
              "if you like and run `git restore notebooks`.")
    return 1 if fixes else 0


def _install(what='-e ".[lab]"'):
    return f'run `"{sys.executable}" -m pip install {what}` in {mmcourse.root()}'


def _packages():
    """What is missing or too old for pyproject.toml, or one line with what is there. Imports none of it."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return [("The course's packages are not installed", _install())]
    project = tomllib.loads((mmcourse.root() / "pyproject.toml").read_text("utf-8"))["project"]
    there, wrong = [], []
    for wanted in map(Requirement, project["dependencies"] + project["optional-dependencies"]["lab"]):
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append((f"{wanted.name} is not installed", _install()))
        else:
            there.append(f"{wanted.name} {version}")
            if not wanted.specifier.contains(version, prereleases=True):
                wrong.append((f"{wanted.name} is {version} and should be {wanted.specifier}", _install()))
    return wrong or [(f"packages: {', '.join(there)}", None)]


def _kernel():
    """Do notebooks run in this Python? A kernel registered elsewhere may come first."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        return "Jupyter has no kernels", _install()
    advice = f'run `"{sys.executable}" -m ipykernel install --sys-prefix`'
    try:
        command = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        return "Jupyter does not find a Python kernel", advice
    if Path(command).parent not in (Path(), Path(sys.executable).parent):   # bare: this Python
        return f"Notebooks run in another Python ({command})", advice
    return "notebooks run in this Python", None


def _space():
    disk = shutil.disk_usage(mmcourse.root()).free / 1e9
    yield f"{disk:.0f} GB of disk free", None if disk > 1 else "make 1 GB free"
    if importlib.util.find_spec("psutil"):
        import psutil
        memory = psutil.virtual_memory().available / 1e9
        yield f"{memory:.1f} GB of memory free", None if memory > 1 else "close other programs"


def _writing():
    folder = store.folder()
    try:
        tempfile.TemporaryFile(dir=next(place for place in (folder, *folder.parents) if place.exists())).close()
        return f"{folder} can be written", None
    except OSError as error:
        advice = "clone the course into a folder of your own, or name one in the variable MMCOURSE_WORK"
        return f"{folder} cannot be written ({error.strerror})", advice


def _lessons():
    try:
        return f"lessons: {', '.join(map(_title, lessons()))}", None
    except UsageError:
        return "There are no lessons in notebooks/", "run `mmcourse build`"


def _torch(process):
    try:
        output, errors = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        return "torch does not answer within 60 s", "close other programs and try again"
    if process.returncode:
        reason = errors.strip().rpartition("\n")[2] or f"code {process.returncode}"
        return f"torch does not work ({reason})", _install("--force-reinstall torch")
    return f"torch computes on {output.strip()}", None


def _changed_lessons():
    """The lessons whose notebooks are not as git has them; none without git."""
    try:
        run = subprocess.run(["git", "status", "--porcelain", "notebooks"], cwd=mmcourse.root(), timeout=10,
                             capture_output=True, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line[3:] for line in run.stdout.splitlines() if line.startswith(" M ")]
