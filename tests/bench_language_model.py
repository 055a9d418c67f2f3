"""How fast the language model writes and learns beside transformers, same weights, same shapes, one run:

    python tests/bench_language_model.py

Prints the medians of alternating runs and their ratios. Not a test: timings need a quiet machine.
"""

import statistics
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mmcourse import zoo
from mmcourse.models.language_model import as_llama, generate
from mmcourse.recipes import lm


def twins():
    """The shipped model, and the same weights in transformers."""
    ours = zoo.load("lm").cpu()
    heads, shared, _ = ours.blocks[0].attention.heads
    theirs = LlamaForCausalLM(LlamaConfig(
        vocab_size=512, hidden_size=96, intermediate_size=256, num_hidden_layers=4, num_attention_heads=heads,
        num_key_value_heads=shared, tie_word_embeddings=False, bos_token_id=0, eos_token_id=None)).eval()
    theirs.load_state_dict(as_llama(ours))
    return ours, theirs


def seconds(runs, repeats):
    """{name: median seconds} of functions that are run in turn, so that noise meets all of them."""
    times = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat:                                                  # the first does not count
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def writing(ours, theirs, batch, tokens=100, repeats=15):
    """Greedy, with the KV cache on both sides; token 0 is made unlikely, so that nobody stops early."""
    with torch.no_grad():
        quiet = ours.head.weight[0].clone()
        ours.head.weight[0] = theirs.lm_head.weight[0] = 0
    prompts = torch.randint(1, 512, (batch, 8))
    runs = {"ours": lambda: generate(ours, prompts.tolist(), tokens),
            "transformers": lambda: theirs.generate(prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=tokens,
                                                    do_sample=False, pad_token_id=0)}
    took = seconds(runs, repeats)
    same = runs["ours"]() == runs["transformers"]()[:, 8:].tolist()
    with torch.no_grad():
        ours.head.weight[0] = theirs.lm_head.weight[0] = quiet
    rates = {name: round(batch * tokens / took[name]) for name in runs}
    print(f"writing, {batch} at once: {rates} tokens a second, {took['transformers'] / took['ours']:.2f} times "
          f"as fast, same tokens: {same}")


def training(ours, theirs, repeats=9):
    """A step of the recipe (16 x 96 tokens, AdamW): ours as it is trained, transformers as it is and in bfloat16, too."""
    tokens = lm.batch(0)
    models = {"ours": ours.train(), "transformers": theirs.train(), "transformers, bfloat16": theirs}
    optimizers = {id(model): torch.optim.AdamW(model.parameters(), lr=1e-5) for model in models.values()}

    def step(name, model):
        optimizers[id(model)].zero_grad()
        if name == "ours":
            loss = lm.loss(model, tokens)
        else:
            with torch.autocast("cpu", torch.bfloat16, enabled="bfloat16" in name):
                loss = model(tokens[:, :-1], labels=tokens[:, :-1]).loss
        loss.backward()
        optimizers[id(model)].step()

    took = seconds({name: lambda name=name, model=model: step(name, model) for name, model in models.items()}, repeats)
    for name in list(models)[1:]:
        print(f"training step: ours {took['ours']:.3f} s, {name} {took[name]:.3f} s, "
              f"{took[name] / took['ours']:.2f} times as fast")


if __name__ == "__main__":
    torch.manual_seed(0)
    ours, theirs = twins()
    for batch in (1, 16):
        writing(ours, theirs, batch)
    training(ours, theirs)
