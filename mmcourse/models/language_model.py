"""A decoder-only language model in the Llama form, its KV cache, and the ways to write with it (lesson 13)."""

import torch
import torch.nn.functional as F
from torch import nn


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019): no mean, no bias."""

    def __init__(self, d_model, eps=1e-6):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(d_model)), eps

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def rotations(places, speeds):
    """Cosines and signed sines (..., T, d) of place * speed (Su et al. 2021), speeds (d/2,)."""
    angles = places[..., None] * speeds
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


def rotate(x, cos, sin):
    """Lesson 12's rotary, with angles made once for all layers: x (B, H, T, d)."""
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin


class SwiGLU(nn.Module):
    """Feed-forward with a gate (Shazeer 2020): down(silu(gate) * up)."""

    def __init__(self, d_model, d_ff):
        super().__init__()
        self.gate_up = nn.Linear(d_model, 2 * d_ff, bias=False)      # both in one product
        self.down = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x):
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class GroupedQueryAttention(nn.Module):
    """H query heads share G key and value heads (Ainslie et al. 2023), so the cache is small.

    forward(x (B, T, D), turn, hide, past): hide (..., T, S) is added to the scores, 0 = may look,
    minus infinity = may not, None = may look at all;
    past is None or a list, [] at first, then [keys, values] (B, G, S, d), and grows by T.
    """

    def __init__(self, d_model, num_heads, num_kv_heads):
        super().__init__()
        self.d_head = d_model // num_heads
        self.heads = num_heads, num_kv_heads, num_kv_heads          # of queries, keys, values
        self.query_key_value = nn.Linear(d_model, sum(self.heads) * self.d_head, bias=False)
        self.output = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x, turn, hide=None, past=None):
        qkv = self.query_key_value(x).unflatten(-1, (-1, self.d_head)).transpose(1, 2)
        qk, v = qkv.split([sum(self.heads[:2]), self.heads[2]], dim=1)
        q, k = rotate(qk.float(), *turn).to(v.dtype).split(self.heads[:2], dim=1)
        if past is not None:
            past[:] = [torch.cat(two, 2) for two in zip(past, (k, v))] if past else [k, v]
            k, v = past
        if v.dtype == torch.bfloat16 and not v.is_cuda:        # torch's call is slow with it
            rows = (q / self.d_head ** 0.5).reshape(*k.shape[:2], -1, self.d_head)
            scores = (rows @ k.transpose(2, 3)).unflatten(2, (-1, q.shape[2]))
            scores = scores if hide is None else scores + hide[..., None, :, :].to(v)
            weights = scores.softmax(-1)                       # (B, G, H/G, T, S)
            mixed = (weights.flatten(2, 3) @ v).view(q.shape)  # (B, H, T, d)
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, hide, enable_gqa=True)
        return self.output(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm: x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, d_model, num_heads, num_kv_heads, d_ff):
        super().__init__()
        self.attention = GroupedQueryAttention(d_model, num_heads, num_kv_heads)
        self.feed_forward = SwiGLU(d_model, d_ff)
        self.norm1, self.norm2 = RMSNorm(d_model), RMSNorm(d_model)

    def forward(self, x, turn, hide=None, past=None):
        x = x + self.attention(self.norm1(x), turn, hide, past)
        return x + self.feed_forward(self.norm2(x))


class LanguageModel(nn.Module):
    """Llama's architecture (Touvron et al. 2023); token 0 ends a text.

    forward(tokens (B, T)) -> logits (B, T, V): what comes next after each position. With a
    `cache` (one empty list for each block at first) only new tokens are given. `real` (B, S) is
    False at padding, which stands on the left (S counts the tokens in the cache, too), or is a
    mask (B, T, S), True = may look.
    """

    def __init__(self, vocab_size, d_model=96, num_layers=4, num_heads=6, num_kv_heads=3,
                 d_ff=256, tokenizer=None):
        super().__init__()
        self.tokenizer = tokenizer
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.blocks = nn.ModuleList(Block(d_model, num_heads, num_kv_heads, d_ff)
                                    for _ in range(num_layers))
        self.norm, self.head = RMSNorm(d_model), nn.Linear(d_model, vocab_size, bias=False)
        steps = torch.arange(0, d_model // num_heads, 2) / (d_model // num_heads)     # 2i / d
        self.register_buffer("speeds", 10_000.0 ** -steps, persistent=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:           # tokens loud, so that the blocks' sums do not drown them
                nn.init.normal_(weight, std=0.3 if name == "embedding.weight" else 0.02)

    def forward(self, tokens, real=None, cache=None):
        return self.read(self.embedding(tokens), real, cache)

    def read(self, x, real=None, cache=None):
        """Vectors (B, T, D) in place of tokens -> logits (B, T, V)."""
        start = cache[0][0].shape[2] if cache and cache[0] else 0      # tokens read before
        hide, places = hidden(start, x.shape[1], real, x.device)
        turn = rotations(places, self.speeds)
        for block, past in zip(self.blocks, cache or [None] * len(self.blocks)):
            x = block(x, turn, hide, past)
        return self.head(self.norm(x))

    def write(self, prompts, steps=150, seed=0, beams=1, **choice):
        """Go on from a prompt, or from each of a list: returns whole texts. "" starts a new text.

        `choice` is temperature, top_k, top_p as in `draw`; beams > 1 searches with `beam_search`.
        """
        many = [prompts] if isinstance(prompts, str) else prompts
        ids = [[0, *self.tokenizer.encode(prompt)] for prompt in many]
        if beams > 1:
            written = [beam_search(self, row, beams, steps) for row in ids]
        else:
            random = torch.Generator(self.norm.weight.device).manual_seed(seed)
            written = generate(self, ids, steps, random=random, **choice)
        texts = [prompt + self.tokenizer.decode(row) for prompt, row in zip(many, written)]
        return texts[0] if isinstance(prompts, str) else texts


def hidden(start, length, real, where):
    """What is added to the scores of T new tokens after `start` old ones, and their places (..., T).

    (..., 1, T, S): minus infinity hides what comes later, and padding. None where one token sees everything.
    """
    places = torch.arange(start, start + length, device=where)
    if real is None and length == 1:
        return None, places
    itself = torch.eye(start + length, dtype=torch.bool, device=where)[start:]
    mask = torch.ones_like(itself).tril(start)
    if real is not None and real.dim() == 2:                   # padding does not count as a place
        places, real = (real.cumsum(1) - 1).clamp(min=0)[:, None, start:], real[:, None]
    if real is not None:
        mask = ((mask & real) | itself)[:, None]               # padding sees itself: never NaN
    return torch.zeros(mask.shape, device=where).masked_fill(~mask, -torch.inf), places


def next_token_loss(model, tokens, weights=None):
    """Mean cross-entropy (nats) of each token given all before it in its own text.

    tokens (B, T + 1) hold one text behind another, each begun by a 0. No text sees the others.
    With `weights` (B, T) some tokens count more than others.
    """
    text = (tokens[:, :-1] == 0).cumsum(1)                     # (B, T): 1, 1, 1, 2, 2, 3, ...
    logits = model(tokens[:, :-1], text[:, :, None] == text[:, None])
    each = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none").view_as(text)
    return each.mean() if weights is None else (each * weights).sum() / weights.sum()


def limited(logits, top_k=0, top_p=1.0):
    """Keep the top_k likeliest tokens (Fan et al. 2018), and of these the fewest whose
    chances sum to top_p (Holtzman et al. 2020); the others get minus infinity."""
    if top_k:
        least = logits.topk(min(top_k, logits.shape[-1])).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p < 1:
        chances, order = logits.softmax(-1).sort(-1, descending=True)
        drop = chances.cumsum(-1) - chances >= top_p         # enough without this one
        drop[..., 0] = False                                 # the likeliest always stays
        logits = logits.masked_fill(drop.scatter(-1, order, drop), -torch.inf)
    return logits


def draw(logits, temperature=0.0, top_k=0, top_p=1.0, random=None):
    """One token for each row of (B, V): the likeliest at temperature 0, else by chance."""
    if temperature < 0:
        raise ValueError(f"A temperature of {temperature} cannot be: give 0 or more.")
    if temperature == 0:
        return logits.argmax(-1)
    chances = limited(logits / temperature, top_k, top_p).softmax(-1)
    return chances.multinomial(1, generator=random)[:, 0]


@torch.inference_mode()
def generate(model, prompts, steps=150, end=0, **choice):
    """Continue prompts (lists of tokens) until `end`, or for `steps`; `choice` as in `draw`.

    Short ones are padded on the left, so that all end in one column. Returns the new tokens.
    """
    if steps < 1 or not prompts:
        raise ValueError("There is nothing to write: give one prompt or more, and one step or more.")
    longest = max(map(len, prompts))
    tokens = torch.tensor([[0] * (longest - len(row)) + row for row in prompts])
    real = torch.arange(longest) >= longest - torch.tensor([[len(row)] for row in prompts])
    tokens, real = (part.to(model.norm.weight.device) for part in (tokens, real))
    even, cache, written = bool(real.all()), [[] for _ in model.blocks], []
    done = torch.zeros_like(real[:, 0])
    while len(written) < steps and not done.all():
        logits = model(tokens, None if even else real, cache)[:, -1]
        tokens = draw(logits, **choice).masked_fill(done, end)[:, None]    # only the new one
        real = real if even else F.pad(real, (0, 1), value=True)
        written.append(tokens)
        done |= tokens[:, 0] == end
    rows = torch.cat(written, 1).tolist()
    return [row[:row.index(end)] if end in row else row for row in rows]


@torch.inference_mode()
def beam_search(model, prompt, beams=4, steps=150, end=0, length_penalty=1.0):
    """The best of many continuations by log-probability / length ** length_penalty.

    Keeps `beams` of them at every step, by the rules of transformers (early_stopping False).
    Returns the new tokens, without the `end`.
    """
    tokens = torch.tensor([prompt]).to(model.norm.weight.device)
    scores, cache, going, finished = torch.zeros(1), [[] for _ in model.blocks], [[]], []
    for step in range(1, steps + 1):
        logs = model(tokens, cache=cache)[:, -1].log_softmax(-1)                    # (beams, V)
        ahead = (scores.to(logs)[:, None] + logs).flatten()
        best, place = ahead.topk(min(2 * beams, len(ahead)))
        rows, ids = (place // logs.shape[1]).tolist(), (place % logs.shape[1]).tolist()
        ends = [token == end or step == steps for token in ids]
        texts = [[*going[row], token] for row, token in zip(rows, ids)]
        worth = best / step ** length_penalty
        finished += [(worth[i].item(), texts[i]) for i, ended in enumerate(ends[:beams]) if ended]
        finished = sorted(finished, key=lambda pair: -pair[0])[:beams]
        kept = [i for i, ended in enumerate(ends) if not ended][:beams]
        if not kept or len(finished) == beams and worth[kept[0]] <= finished[-1][0]:
            break
        going, scores = [texts[i] for i in kept], best[kept]
        tokens = place[kept][:, None] % logs.shape[1]
        for past in cache:
            past[:] = [part[[rows[i] for i in kept]] for part in past]
    return [token for token in finished[0][1] if token != end]


def as_llama(model):
    """The model's weights under the names of transformers' LlamaForCausalLM."""
    out = {"model.embed_tokens.weight": model.embedding.weight,
           "model.norm.weight": model.norm.weight, "lm_head.weight": model.head.weight}
    names = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
             "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
             "input_layernorm", "post_attention_layernorm"]
    for i, block in enumerate(model.blocks):
        attention, think = block.attention, block.feed_forward
        qkv = attention.query_key_value.weight.split([n * attention.d_head for n in attention.heads])
        parts = [*qkv, attention.output.weight, *think.gate_up.weight.chunk(2),
                 think.down.weight, block.norm1.weight, block.norm2.weight]
        out |= {f"model.layers.{i}.{name}.weight": part for name, part in zip(names, parts)}
    return out
