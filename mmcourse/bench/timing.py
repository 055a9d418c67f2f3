"""What all parts measure with: seconds of two in turn, floating-point operations, memory, and how fast the machine is."""

import os
import platform
import re
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("KINETO_LOG_LEVEL", "99")              # torch's profiler is to keep silent; read at torch's import

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from mmcourse import device

PAIRS = 15


def clock():
    """Seconds: of processor time where one thread does all the work, which other programs hardly disturb; else on the
    clock on the wall."""
    return time.process_time() if alone() else time.perf_counter()


def alone():
    """Does one thread of this process do all the work?"""
    return device().type == "cpu" and torch.get_num_threads() == 1


def took(work, clock=clock):
    """Seconds that work() takes, to the end of what it started on a GPU."""
    start = clock()
    work()
    if device().type == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def quartiles(values):
    """The lower quartile, the median and the upper quartile: {"low", "median", "high"}."""
    return dict(zip(("low", "median", "high"), np.quantile(values, (0.25, 0.5, 0.75)).tolist()))


def pairs(ours, peer, count=PAIRS):
    """Run two functions in turn, so that a busy machine disturbs both; the first round does not count.

    Returns the medians of their seconds, {"ours", "peer"}, and the quartiles of peer / ours: how many times as fast ours is.
    """
    seconds = {"ours": [], "peer": []}
    for turn in range(count + 1):
        for name, work in sorted({"ours": ours, "peer": peer}.items(), reverse=turn % 2 == 1):
            seconds[name].append(took(work))
    seconds = {name: values[1:] for name, values in seconds.items()}
    ratios = [theirs / mine for mine, theirs in zip(seconds["ours"], seconds["peer"])]
    return {"seconds": {name: float(np.median(values)) for name, values in seconds.items()}, "ratio": quartiles(ratios),
            "pairs": count}


def operations(work):
    """Floating-point operations of the matrix products and convolutions of work()."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:      # fused attention would not be counted
        work()
    return counter.get_total_flops()


def memory(work):
    """The most bytes that work() has at a time beside what was there before."""
    if device().type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    changes = sorted((event.start_ns(), event.nbytes()) for event in seen.profiler.kineto_results.events()
                     if event.name() == "[memory]")
    return int(np.cumsum([change for _, change in changes]).max())


def matmul_peak(size=1024, repeats=9):
    """Floating-point operations a second of one large product of matrices, in the precision that training has here."""
    from mmcourse.training import half

    size = 8 * size if device().type == "cuda" else size
    a = torch.randn(size, size, device=device())
    with half(device()), torch.no_grad():
        return 2 * size ** 3 / np.median([took(lambda: a @ a) for _ in range(repeats + 1)][1:]).item()


def processor():
    """The name of the GPU, or of the processor."""
    if device().type == "cuda":
        return torch.cuda.get_device_name()
    about = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", about.read_text()) if about.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def cores():
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def where():
    """On what a part was measured."""
    names = "torch", "transformers", "diffusers"
    return {"date": time.strftime("%Y-%m-%d"), "processor": processor(), "cores": cores(),
            "threads": torch.get_num_threads(), "clock": "processor time" if alone() else "wall time",
            "python": platform.python_version(), **{name: version(name) for name in names}}
