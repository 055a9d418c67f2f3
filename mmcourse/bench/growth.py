"""How time grows with what is asked for: the encoder, the ViT, the world, the grader, and two processes against one."""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

import mmcourse
from mmcourse import device, world
from mmcourse.bench import timing
from mmcourse.bench.training import stepper
from mmcourse.models.transformer import Encoder
from mmcourse.models.vit import VisionTransformer

BASE = {"batch": 8, "length": 64, "width": 128, "depth": 2}
LINES = {"length": (64, 128, 256, 512), "width": (64, 128, 256, 512), "depth": (1, 2, 4, 8), "batch": (4, 8, 16, 32)}


def exponent(values, amounts):
    """The k of amount = c * value ** k, fitted to the logarithms."""
    return float(np.polyfit(np.log(values), np.log(amounts), 1)[0])


def line(name, values, works, expected=None, repeats=5, clock=timing.clock):
    """A row: seconds of works, one for each value, run in turn (the first of several rounds does not count); the exponent
    fitted to each round, as quartiles.

    expected: the exponent to compare with; None takes that of the works' floating-point operations.
    """
    seconds = [[timing.took(work, clock) for work in works] for _ in range(repeats + (repeats > 1))][repeats > 1:]
    if expected is None:
        expected = exponent(values, [timing.operations(work) for work in works])
    fitted = timing.quartiles([exponent(values, row) for row in seconds])
    print(f"{name}: to the power of {fitted['median']:.2f}, expected {expected:.2f}", flush=True)
    return {"name": name, "values": list(values), "seconds": np.median(seconds, 0).tolist(), "exponent": fitted,
            "expected": expected}


def encoder(batch, length, width, depth):
    x = torch.randn(batch, length, width, device=device())
    return stepper(Encoder(depth, width, 4), lambda model: F.mse_loss(model(x), x))


def vit(size):
    images = torch.randn(4, 3, size, size, device=device())
    return stepper(VisionTransformer(size, 8, 128, 4, 2), lambda model: model(images).square().mean())


def steps(few, repeats):
    """Training steps of the encoder and the ViT, with their memory."""
    rows = []
    for name, values in LINES.items():
        rows.append((f"encoder's step, {name}", values[:few], [encoder(**BASE | {name: value}) for value in values[:few]]))
    sizes = (32, 64, 96, 128)[:few]
    rows.append(("ViT's step, pixels of a side", sizes, [vit(size) for size in sizes]))
    return [line(*row, repeats=repeats) | memory(*row[1:]) for row in rows]


def memory(values, works):
    """Peak memory of the works beside what was there before, and its exponent."""
    peaks = [timing.memory(work) for work in works]
    return {"bytes": peaks, "bytes_exponent": exponent(values, peaks)}


def worlds(count, few, repeats):
    """Scenes drawn by chance and painted: over their number of objects, and over the size of the picture."""
    def make(spec, size):
        return lambda: world.draw([world.sample(seed, spec) for seed in range(count)], size)

    objects, sizes = (1, 2, 4, 6)[:few], (32, 64, 128, 256)[:few]
    return [line("pictures of the world, objects", objects, [make(world.Spec((n, n)), 64) for n in objects], 1, repeats),
            line("pictures of the world, pixels of a side", sizes, [make("standard", size) for size in sizes], 2, repeats)]


def grading(kind, counts):
    """A notebook of solutions/ or exercises/, handed in several times and marked one after another in the sandbox."""
    from mmcourse.grading import run, sandbox

    source, threads = mmcourse.root() / kind / "11_attention.ipynb", torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, str(n), source.name) for n in range(max(counts))]
        for path in paths:
            path.parent.mkdir()
            shutil.copy(source, path)
        works = [lambda n=n: run.mark_all(dict.fromkeys(paths[:n], "ana"), run.Store(None), sandbox.bubblewrap(), 1, lambda path, result: None)
                 for n in counts]
        row = line("grading, submissions", counts, works, 1, 1, time.perf_counter)
    torch.set_num_threads(threads)                                       # the grader takes one
    return row


def together(rank, folder, size, repeats):
    """One of two processes: steps alone (the first one only) and steps together, in turn; the first writes the seconds."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""                  # gloo is for processors; nothing has asked for a GPU yet
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(0)
    x, model = torch.randn(size, 64, 128), Encoder(4, 128, 4)
    both = nn.parallel.DistributedDataParallel(model)
    steps = [stepper(part, lambda model: F.mse_loss(model(x), x)) for part in (model, both)]
    seconds = []
    for _ in range(repeats + 1):
        alone = timing.took(steps[0], time.perf_counter) if rank == 0 else 0
        dist.barrier()
        seconds.append((alone, timing.took(steps[1], time.perf_counter)))
        dist.barrier()
    if rank == 0:
        Path(folder, "seconds").write_text(json.dumps(seconds[1:]), "utf-8")
    dist.destroy_process_group()


def processes(size, repeats):
    """A row: two processes (gloo, one thread each) that share their gradients and see twice the data, against one."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(together, (folder, size, repeats), nprocs=2)
        seconds = json.loads(Path(folder, "seconds").read_text("utf-8"))
    efficiency = timing.quartiles([alone / both for alone, both in seconds])
    print(f"two processes: {efficiency['median']:.0%} of twice the speed of one", flush=True)
    return {"efficiency": efficiency, "cores": timing.cores()}


def measure(smoke=False):
    """The rows with their exponents, and what two processes gain."""
    few, repeats = (2, 1) if smoke else (4, 5)
    rows = [*steps(few, repeats), *worlds(10 if smoke else 200, few, repeats)]
    rows.append(grading("exercises", (1, 2)) if smoke else grading("solutions", (1, 2, 4)))
    return {"rows": rows, "two_processes": processes(2 if smoke else 32, repeats)}
