"""One training loop for the whole course: warm-up, decay, mixed precision on a GPU, checkpoint and resume."""

import json
import os
import sys
from itertools import accumulate
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from mmcourse import UsageError, device, files


class Steps(Dataset):
    """The batches of a run as a dataset: item k is batch(k)."""

    def __init__(self, batch):
        self.batch = batch

    def __getitem__(self, step):
        return self.batch(step)


def moved(data, where):
    """Every tensor of a batch (a tensor, or tuples and lists of them) on the device `where`; the rest as it is."""
    if isinstance(data, torch.Tensor):
        return data.to(where, non_blocking=True)
    return type(data)(moved(part, where) for part in data) if isinstance(data, (tuple, list)) else data


def fit(model, batch, loss, steps, lr=2e-3, warmup=50, weight_decay=0.01, checkpoint=None, every=200, workers=0, muon=None):
    """Train `model` with AdamW (Loshchilov and Hutter 2019): linear warm-up, then cosine decay to zero.

    batch(step) gives the data of a step: a tensor or a tuple of them, on the CPU. Make it a pure function of the step, and
    a resumed run sees the data that the undisturbed one would have seen. `workers` processes prepare batches ahead.
    loss(model, data) gives a scalar. With a `checkpoint` path (.safetensors), the state is saved every `every` steps, and
    a run that was cut off goes on from there. With a learning rate `muon` (0.02 suits many), the weight matrices of the
    model's `blocks` are trained by Muon (Jordan et al. 2024). Returns the losses, one float per step, those before a
    resume included.
    """
    where = device()
    model.to(where).train()
    optimizer = Optimizers(model, lr, weight_decay, muon)
    plan = {"steps": steps, "lr": lr, "warmup": warmup, "weight decay": weight_decay, "muon": muon}
    losses = resume(checkpoint, model, optimizer, plan) if checkpoint and Path(checkpoint).exists() else []
    left = range(len(losses), steps)
    batches = DataLoader(Steps(batch), batch_size=None, sampler=left, num_workers=workers)
    bar = tqdm(zip(left, batches), initial=len(losses), total=steps, unit="step", leave=False, disable=not watched())
    for step, data in bar:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * schedule(step, steps, warmup)
        with torch.autocast(where.type, torch.bfloat16, enabled=where.type == "cuda"):
            value = loss(model, moved(data, where))
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(value.item())
        if not torch.isfinite(value):
            raise FloatingPointError(f"The loss became {losses[-1]} at step {step}: try a smaller lr than {lr}.")
        if step % 20 == 0:
            bar.set_postfix_str(f"loss {losses[-1]:.3f}")
        if checkpoint and (step + 1) % every == 0:
            save(checkpoint, model, optimizer, losses, plan)
    model.eval()
    return losses


class Muon(torch.optim.Optimizer):
    """Momentum whose direction is made orthogonal (Jordan et al. 2024), for weight matrices.

    The rule of torch.optim.Muon with its defaults, but in bfloat16 only where that is fast (`half`): torch's always is, which
    takes 20 times as long on a processor that has no bfloat16.
    """

    def __init__(self, matrices, lr, weight_decay):
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            alike = {}                                             # matrices of one shape are made orthogonal together
            for weight in group["params"]:
                if weight.grad is not None:
                    past = self.state[weight].setdefault("momentum_buffer", torch.zeros_like(weight))
                    past.lerp_(weight.grad, 0.05)
                    alike.setdefault(weight.shape, []).append((weight, weight.grad.lerp(past, 0.95)))
            for (rows, columns), pairs in alike.items():
                weights, ways = zip(*pairs)
                with half(weights[0].device):
                    ways = orthogonal(torch.stack(ways)) * max(1, rows / columns) ** 0.5
                for weight, way in zip(weights, ways):
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(way, alpha=group["lr"])


def orthogonal(matrices):
    """Nearly U V^T of the U S V^T of each matrix (K, m, n): five Newton-Schulz steps, which push all singular values towards
    one."""
    x = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x.mT if matrices.shape[1] > matrices.shape[2] else x


class Optimizers:
    """AdamW for all parameters, or Muon for the weight matrices inside of `blocks` and AdamW for the rest."""

    def __init__(self, model, lr, weight_decay, muon):
        named = {name: value for name, value in model.named_parameters() if value.requires_grad}
        matrices = [value for name, value in named.items() if muon and "blocks" in name.split(".") and value.ndim == 2]
        rest = [value for value in named.values() if not any(value is matrix for matrix in matrices)]
        self.parts = [torch.optim.AdamW(rest, lr=lr, weight_decay=weight_decay, fused=True)]
        if matrices:
            self.parts.append(Muon(matrices, muon, weight_decay))
        self.param_groups = [group for part in self.parts for group in part.param_groups]
        for group in self.param_groups:
            group["peak"] = group["lr"]

    def zero_grad(self):
        for part in self.parts:
            part.zero_grad()

    def step(self):
        for part in self.parts:
            part.step()

    def numbered(self):
        """The optimizers, each with the number of its first parameter: [(0, AdamW), ...]."""
        counts = [len(part.param_groups[0]["params"]) for part in self.parts]
        return list(zip(accumulate(counts, initial=0), self.parts))

    def state(self):
        """What the optimizers remember of each parameter: {number: {name: value}}, Muon's after AdamW's."""
        return {start + i: state for start, part in self.numbered() for i, state in part.state_dict()["state"].items()}

    def load(self, states):
        """Put back what `state` gave."""
        for start, part in self.numbered():
            numbers = range(start, start + len(part.param_groups[0]["params"]))
            state = {i - start: states[i] for i in numbers if i in states}               # what no loss has used has none
            part.load_state_dict({"state": state, "param_groups": part.state_dict()["param_groups"]})
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def half(where):
    """Matrix products in bfloat16 on the device `where`, if it has them in hardware: many processors have not, and
    would take 20 times as long."""
    fast = where.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(where.type, torch.bfloat16, enabled=fast)


def schedule(step, steps, warmup):
    """The share of the learning rate at a step: up in a straight line, down in half a cosine."""
    if step < warmup:
        return (step + 1) / warmup
    done = torch.tensor((step - warmup) / max(1, steps - warmup))
    return (0.5 * (1 + torch.cos(torch.pi * done))).item()


def watched():
    """Is somebody looking at a progress bar? Not while notebooks are built, tested or marked."""
    return not os.environ.get("MMCOURSE_STATIC") and ("ipykernel" in sys.modules or sys.stderr.isatty())


def save(path, model, optimizer, losses, plan):
    """Write model, optimizer, losses and what was planned into one safetensors file, whole or not at all."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for i, state in optimizer.state().items():
        tensors |= {f"optimizer.{i}.{key}": torch.as_tensor(value) for key, value in state.items()}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with files.whole(path) as beside:
        tensors = {name: value.clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}    # none shared
        save_file(tensors, beside, {"losses": json.dumps(losses), "plan": json.dumps(plan)})


def resume(path, model, optimizer, plan):
    """Put a saved run back into model and optimizer. Returns its losses. A file that does not fit is refused."""
    try:
        with safe_open(path, "pt", device=str(next(model.parameters()).device)) as file:
            losses, planned = (json.loads(file.metadata()[name]) for name in ("losses", "plan"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, TypeError, KeyError, ValueError):
        raise UsageError(f"{path} is no checkpoint of a run: delete it or name another.") from None
    if other := [f"{name} {planned.get(name)} and not {value}" for name, value in plan.items() if planned.get(name) != value]:
        raise UsageError(f"{path} is a run with {', '.join(other)}: delete it to begin anew, or go on as it began.")
    try:
        model.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
    except RuntimeError:
        raise UsageError(f"{path} holds another model than this one: delete it or name another checkpoint.") from None
    state = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, i, key = name.split(".")
            state.setdefault(int(i), {})[key] = value
    optimizer.load(state)
    return losses
