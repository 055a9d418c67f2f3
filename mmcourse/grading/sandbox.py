"""The box that answers run in: bubblewrap and limits where the system has them, limits alone where it has not.

What a box does not stop: it shares the kernel with the machine, so a hole in the kernel is a hole in the box. For an exam,
grade on a machine that holds nothing else.
"""

import ctypes
import json
import os
import platform
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import mmcourse

HERE = Path(__file__).parent
FOLDER_BYTES = 128 * 2 ** 20                      # of each folder that an answer can write
LIMITS = {"RLIMIT_NPROC": 64, "RLIMIT_FSIZE": 64 * 2 ** 20, "RLIMIT_CORE": 0, "RLIMIT_NOFILE": 256, "RLIMIT_MEMLOCK": 0}
ADDRESSES = 4 * 2 ** 30                           # bytes of address space of one process, where torch is for the CPU
FIRST_UID = 61_000                                # as root every box gets a uid of its own, from here on
UIDS = 500


def bubblewrap():
    """The path of bwrap if it works here, else None. It may be installed and forbidden, as in many containers."""
    program = shutil.which("bwrap")
    if program is None or sys.platform != "linux":
        return None
    run = subprocess.run([program, *_namespaces(), "--ro-bind", "/", "/", "--proc", "/proc", "/bin/true"],
                         capture_output=True, timeout=20)
    return program if run.returncode == 0 else None


def start(boxed, seconds, slot=0):
    """A fresh process that waits for the course's cells (a Popen with three pipes): in a box if `boxed` is bwrap's path.

    `seconds` is what one exercise may take of a core, `slot` tells boxes that run at the same time apart.
    """
    root = mmcourse.root()
    uid = FIRST_UID + slot % UIDS if os.geteuid() == 0 and (boxed or _readable_by_all(sys.executable)) else 0
    settings = {"uid": uid, "limits": LIMITS if boxed or uid else LIMITS | {"RLIMIT_NPROC": 4096}, "seconds": seconds,
                "memory": ADDRESSES, "path": ["/grader" if boxed else str(HERE), str(HERE.parent.parent)]}
    program = [os.path.abspath(sys.executable), "-I", "-c", _BOOT, json.dumps(settings)]     # no ".." a box could not follow
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/box", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1",
                   "MPLCONFIGDIR": "/tmp", "MPLBACKEND": "agg", "MMCOURSE_STATIC": "1", "LANG": "C.UTF-8",
                   "PYTHONWARNINGS": "ignore", "MALLOC_ARENA_MAX": "2"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0,
             "start_new_session": True}
    if boxed:
        handle = _filter()
        command = [boxed, *_namespaces(), *_files(root), *_variables(environment), "--seccomp", str(handle), "--", *program]
        process = subprocess.Popen(command, env={}, pass_fds=[handle], cwd="/", **pipes)
        os.close(handle)
        process.folder = None
        return process
    folder = tempfile.mkdtemp(prefix="answer")
    if uid:
        os.chown(folder, uid, uid)
    environment |= {"HOME": folder, "MPLCONFIGDIR": folder, "TMPDIR": folder}
    process = subprocess.Popen(program, env=environment, cwd=folder, **pipes)
    process.folder = folder
    return process


_BOOT = "import sys, json; sys.path.insert(0, json.loads(sys.argv[1])['path'][0]); import child; child.main()"


def kill(process):
    """End a started process and all that came of it, and take its folder away."""
    family = _family(process.pid)
    for pid in (process.pid, *family):
        try:
            (os.killpg if pid == process.pid else os.kill)(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()
    if process.folder:
        shutil.rmtree(process.folder, ignore_errors=True)


def end_family(pid):
    """Kill a process of ours and all its descendants, deepest last so that none is missed."""
    for one in (pid, *_family(pid)):
        try:
            os.kill(one, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def die_with_parent():
    """Ask the kernel to end this process when the one that started it is gone. Linux only."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):
        pass


def limit_addresses(limit):
    """Bound this process's memory where torch is for the CPU: one for GPUs takes addresses by the hundred GB."""
    import torch
    if sys.platform == "linux" and torch.version.cuda is None and torch.version.hip is None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def memory(pid):
    """Bytes that a process and its descendants have for themselves. 0 where the system does not tell."""
    pages = 0
    for one in (pid, *_family(pid)):
        try:
            _, resident, shared, *_ = open(f"/proc/{one}/statm").read().split()
            pages += int(resident) - int(shared)
        except (OSError, ValueError):
            pass
    return pages * os.sysconf("SC_PAGE_SIZE")


def _family(pid):
    """The pids of all descendants of a process, empty where there is no /proc."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        try:
            tasks = os.listdir(f"/proc/{one}/task")
            children = [int(child) for task in tasks for child in open(f"/proc/{one}/task/{task}/children").read().split()]
        except OSError:
            continue
        found += children
        waiting += children
    return found


def _readable_by_all(path):
    """Can another user run this Python? One under /root, say, only root can."""
    parts = [Path(path).resolve(), *Path(path).resolve().parents, *Path(path).absolute().parents, *HERE.parents, HERE]
    return all(part.stat().st_mode & 0o001 for part in parts if part.is_dir())


# ---- what bubblewrap is told ----

def _namespaces():
    """Own process tree, no network, nothing shared. A user namespace only when that is needed, which root does not."""
    apart = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try",
             "--die-with-parent", "--new-session"]
    if os.geteuid() == 0:
        return [*apart, "--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return ["--unshare-user", "--disable-userns", *apart]


def _files(root):
    """Read-only: the system's programs, Python, the course's package without its checks and its weights. No more."""
    python = {Path(sys.prefix), Path(sys.base_prefix), *(Path(p) for p in sys.path if p.endswith("site-packages"))}
    python = sorted({path.resolve() for path in python} | {Path(sys.prefix)})
    shown = [path for path in python if path.is_dir() and not path.is_relative_to("/usr")]
    parts = ["--ro-bind", "/usr", "/usr"]
    for name in ("lib", "lib64", "lib32", "bin", "sbin"):
        if (link := Path("/", name)).is_symlink():
            parts += ["--symlink", os.readlink(link), str(link)]
        elif link.is_dir():
            parts += ["--ro-bind", str(link), str(link)]
    parts += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache", "--proc", "/proc", "--dev", "/dev"]
    for folder in ("/dev/shm", "/tmp", "/box"):
        parts += ["--size", str(FOLDER_BYTES), "--perms", "1777", "--tmpfs", folder]
    package, data = Path(mmcourse.__file__).parent, root / "data"
    for path in (*shown, package, data, Path("/grader")):
        for parent in reversed(path.parents[:-1]):
            parts += ["--perms", "0755", "--dir", str(parent)]
    for path in (*shown, package, *([data] if data.is_dir() else [])):
        parts += ["--ro-bind", str(path), str(path)]
    for hidden in ("checks", "grading", "authoring"):
        if (package / hidden).is_dir():
            parts += ["--perms", "0755", "--tmpfs", str(package / hidden)]
    for name in ("child.py", "wire.py"):
        parts += ["--ro-bind", str(HERE / name), f"/grader/{name}"]
    return [*parts, "--perms", "0755", "--dir", str(root / "notebooks"), "--remount-ro", "/", "--chdir", "/box"]


def _variables(environment):
    return ["--clearenv", "--hostname", "box",
            *(part for name, value in environment.items() for part in ("--setenv", name, value))]


# ---- system calls that no exercise needs ----

CALLS = {  # name: number on x86-64, on arm64
    "ptrace": (101, 117), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "unshare": (272, 97),
    "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "perf_event_open": (298, 241),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "bpf": (321, 280), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427)}
MACHINES = {"x86_64": (0xC000003E, 0, 41, 56), "aarch64": (0xC00000B7, 1, 198, 220)}     # arch, column, socket, clone
CLONE3, NEW_USER = 435, 0x10000000
FAMILIES = 1, 2, 10, 16                           # sockets: unix, internet 4 and 6 (there is no network), netlink


def seccomp(machine=None):
    """A filter for the kernel (classic BPF): the calls above fail, and so do new user namespaces. b"" on other machines."""
    if (machine or platform.machine()) not in MACHINES:
        return b""
    arch, column, socket, clone = MACHINES[machine or platform.machine()]
    load, equal, at_least, bits, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, no, kill = 0x7FFF0000, 0x00050000, 0x80000000           # an errno is added to `no`
    lines = [(load, 0, 0, 4), (equal, 1, 0, arch), (give, 0, 0, kill), (load, 0, 0, 0),
             (at_least, 0, 1, 0x40000000), (give, 0, 0, no + 38)]  # the other numbering of x86-64
    for numbers in CALLS.values():
        lines += [(equal, 0, 1, numbers[column]), (give, 0, 0, no + 1)]
    lines += [(equal, 0, 1, CLONE3), (give, 0, 0, no + 38)]        # its flags cannot be seen: the C library takes clone
    lines += [(equal, 0, 3, clone), (load, 0, 0, 16), (bits, 0, 1, NEW_USER), (give, 0, 0, no + 1), (load, 0, 0, 0)]
    lines += [(equal, 0, len(FAMILIES) + 2, socket), (load, 0, 0, 16)]
    lines += [(equal, len(FAMILIES) - i, 0, family) for i, family in enumerate(FAMILIES)] + [(give, 0, 0, no + 97)]
    lines += [(give, 0, 0, allow)]
    return b"".join(struct.pack("<HBBI", *line) for line in lines)


def _filter():
    """A file handle from which bwrap reads the filter."""
    handle = os.memfd_create("filter")
    os.write(handle, seccomp())
    os.lseek(handle, 0, os.SEEK_SET)
    return handle
