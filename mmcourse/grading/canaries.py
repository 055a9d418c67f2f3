"""Canaries: small attacks on the sandbox, each of which has to fail before other people's work is marked."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import mmcourse
from mmcourse.grading import sandbox
from mmcourse.grading.remote import Channel, Ended

SECONDS = 20
CANARIES = {  # what is defended: code that sets `reached` to what it could reach, empty when it was stopped
    "network": """
import socket
reached = [name for _, name in socket.if_nameindex() if name != "lo"]
try:
    socket.create_connection(("127.0.0.1", {port}), timeout=2).close()
    reached.append("a port of this machine")
except OSError:
    pass
""",
    "files": """
reached = []
for path in ({canary!r}, {course!r} + "/solutions", {course!r} + "/lessons", {course!r} + "/mmcourse/grading/judge.py",
             "/etc/passwd", "/etc/hostname"):
    try:
        (os.listdir if os.path.isdir(path) else open)(path)
        reached.append(path)
    except OSError:
        pass
""",
    "checks": """
reached = [path for path in os.listdir({course!r} + "/mmcourse/checks") if path.startswith("set_")]
""",
    "writing": """
reached = []
for path in ("/usr/canary", {course!r} + "/mmcourse/canary", {course!r} + "/canary", "/grader/child.py", "/canary"):
    try:
        there = os.path.exists(path)
        open(path, "a").close()
        reached.append(path)
        if not there:
            os.unlink(path)
    except OSError:
        pass
""",
    "descriptors": """
reached = []
for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else range(3, 256):
    try:
        target = os.readlink(f"/proc/self/fd/{{name}}")
        if target.startswith("/") and not target.startswith(("/dev/", "/proc/")):
            reached.append(target)
    except OSError:
        pass
""",
    "processes": """
import time
made, reached = [], []
try:
    for _ in range(150):
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        made.append(pid)
    reached = ["150 processes"]
except OSError:
    pass
for pid in made:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
""",
    "memory": """
try:
    big = bytearray(8 * 2 ** 30)
    reached = ["8 GB"]
except MemoryError:
    reached = []
""",
    "shared memory": """
reached = []
try:
    total = 0
    for k in range(8):
        with open(f"/dev/shm/canary{{k}}", "wb") as file:
            total += sum(file.write(bytes(2 ** 20)) for _ in range(60))
    reached = ["480 MB"]
except OSError:
    pass
for k in range(8):
    if os.path.exists(f"/dev/shm/canary{{k}}"):
        os.unlink(f"/dev/shm/canary{{k}}")
""",
    "disk": """
import tempfile
reached, files = [], []
try:
    for k in range(8):
        file = tempfile.TemporaryFile(buffering=0)
        files.append(file)
        for _ in range(60):
            file.write(bytes(2 ** 20))
    reached = ["480 MB"]
except OSError:
    pass
for file in files:
    file.close()
""",
    "namespaces": """
import ctypes
reached = ["a user namespace of its own"] if ctypes.CDLL(None).unshare(0x10000000) == 0 else []
""",
    "system calls": """
import ctypes, socket
libc, reached = ctypes.CDLL(None, use_errno=True), []
try:
    socket.socket(40, socket.SOCK_STREAM).close()
    reached.append("AF_VSOCK")
except OSError:
    pass
if libc.syscall(425, 1, ctypes.create_string_buffer(256)) >= 0:
    reached.append("io_uring")
""",
    "other processes": """
reached = []
try:
    os.kill({pid}, 0)
    reached = ["the grader"]
except OSError:
    pass
reached += [pid for pid in os.listdir("/proc") if pid == str({pid})]
""",
    "rights": """
reached = ["root"] if os.getuid() == 0 else []
""",
}
SURVIVOR = """
import subprocess
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", {name!r}])
    os._exit(0)
reached = []
"""


def run(boxed):
    """Try every canary in a sandbox like the ones that mark: {defence: what was reached}, empty lists when all is well."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as server:
        secret = Path(folder, "gradebook.txt")
        secret.write_text("canary")
        handle = os.open(secret, os.O_RDONLY)
        os.set_inheritable(handle, True)
        names = {"port": server.getsockname()[1], "canary": str(secret), "course": str(mmcourse.root()), "pid": os.getpid()}
        try:
            found = _attacks({name: source.format(**names) for name, source in CANARIES.items()}, boxed)
        finally:
            os.close(handle)
    return found | {"survivors": _survivors(boxed), "time": _endless(boxed, "while True: pass", "time"),
                    "output": _endless(boxed, "while True: print('flood ' * 1000)", "output")}


def _attacks(sources, boxed):
    found = {}
    with _box(boxed) as channel:
        for name, source in sources.items():
            try:
                found[name] = _ask(channel, source)
            except Ended as ended:
                return found | {name: [f"the canary ended ({ended.verdict})"]}
    return found


@contextlib.contextmanager
def _box(boxed):
    channel = Channel(sandbox.start(boxed, SECONDS, os.getpid()), SECONDS)
    try:
        channel.send(op="prepare", cells=["import os"])
        channel.receive()
        yield channel
    finally:
        if not channel.over:
            sandbox.kill(channel.process)


def _ask(channel, source):
    channel.begin(SECONDS)
    channel.send(op="exercise", cells=[[source, "answer"]], answer="reached", seed=0)
    said = channel.receive()
    try:
        channel.send(op="end")
        channel.receive()
    except Ended:
        pass                                         # the process of this canary, as it should
    error = said.get("error")
    return said["value"] if said["op"] == "ready" and not error else [f"the canary stopped ({error})"]


def _survivors(boxed):
    name = f"{os.getpid() + 5_000_000}.5"
    with _box(boxed) as channel:
        _ask(channel, SURVIVOR.format(name=name))
    time.sleep(0.2)
    listed = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True).stdout
    return [f"sleep {name}"] if f"sleep {name}" in listed.splitlines() else []


def _endless(boxed, source, verdict):
    with _box(boxed) as channel:
        try:
            channel.begin(2)
            channel.send(op="exercise", cells=[[source, "answer"]], answer="1", seed=0)
            channel.receive()
        except Ended as ended:
            return [] if ended.verdict == verdict else [ended.verdict]
    return ["no end"]


def report(found):
    """Print one line for each defence. Returns the names of those that failed."""
    for name, reached in found.items():
        there = ", ".join(map(str, reached))
        print(f"[fix] {name}: NOT BLOCKED, reached {there}" if reached else f"[ok] {name}: blocked", flush=True)
    return [name for name, reached in found.items() if reached]
