"""The language model against transformers: logits, loss, gradients, generate; the KV cache against no cache."""

import pytest
import torch
import torch.nn.functional as F

from mmcourse.models.attention import causal_mask
from mmcourse.models.language_model import LanguageModel, as_llama, beam_search, generate, limited, next_token_loss
from mmcourse.models.transformer import Encoder

transformers = pytest.importorskip("transformers")


def apart(one, two):
    return (one - two).abs().max().item()


def pair(seed, sharp=1.0):
    """A model of random shape and the same in transformers; `sharp` scales its logits, so that no two nearly tie."""
    torch.manual_seed(seed)
    kv_heads, groups, layers = (int(torch.randint(1, 4, ())) for _ in range(3))
    heads, vocab = kv_heads * groups, int(torch.randint(11, 60, ()))
    width, d_ff = heads * 2 * int(torch.randint(2, 5, ())), int(torch.randint(8, 40, ()))
    ours = LanguageModel(vocab, width, layers, heads, kv_heads, d_ff)
    with torch.no_grad():
        for name, weight in ours.named_parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
        ours.norm.weight.mul_(sharp)
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=vocab, hidden_size=width, intermediate_size=d_ff, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, tie_word_embeddings=False, bos_token_id=0, eos_token_id=0)).eval()
    theirs.load_state_dict(as_llama(ours))
    return ours.eval(), theirs


@pytest.mark.parametrize("seed", range(25))
def test_equals_llama(seed):
    ours, theirs = pair(seed)
    tokens = torch.randint(1, ours.embedding.num_embeddings, (3, 9))
    assert apart(ours(tokens), theirs(tokens).logits) < 1e-5
    one = next_token_loss(ours, tokens)
    two = theirs(tokens, labels=tokens).loss                                            # it shifts by itself
    assert abs(one.item() - two.item()) < 1e-6
    one.backward()
    two.backward()
    grads = {name: weight.grad for name, weight in theirs.named_parameters()}
    with torch.no_grad():
        for weight in ours.parameters():
            weight.copy_(weight.grad)                          # so that as_llama names the gradients
    for name, value in as_llama(ours).items():
        assert apart(value, grads[name]) < 1e-4, name


@pytest.mark.parametrize("seed", range(8))
def test_padding_on_the_left_changes_nothing(seed):
    ours, theirs = pair(seed)
    tokens = torch.randint(1, ours.embedding.num_embeddings, (2, 7))
    real = torch.tensor([[True] * 7, [False] * 3 + [True] * 4])
    places = (real.long().cumsum(1) - 1).clamp(min=0)
    got = ours(tokens, real)
    assert torch.isfinite(got).all()
    assert apart(got[1, 3:], ours(tokens[1:, 3:])[0]) < 1e-5
    want = theirs(tokens, attention_mask=real.long(), position_ids=places).logits
    assert apart(got[real], want[real]) < 1e-5


@pytest.mark.parametrize("seed", range(12))
def test_cache_equals_no_cache(seed):
    """In pieces of every length, with and without padding."""
    ours, _ = pair(seed)
    tokens = torch.randint(ours.embedding.num_embeddings, (2, 12))
    for real in (None, torch.arange(12) >= torch.tensor([[0], [4]])):
        full = ours(tokens, real)
        for sizes in ([12], [5, 1, 1, 5], [1] * 12, [3, 9]):
            cache, parts, start = [[] for _ in ours.blocks], [], 0
            for size in sizes:
                seen = None if real is None else real[:, :start + size]
                parts.append(ours(tokens[:, start:start + size], seen, cache))
                start += size
            assert apart(torch.cat(parts, 1), full) < 1e-5


@pytest.mark.parametrize("seed", range(12))
def test_greedy_is_token_identical(seed):
    ours, theirs = pair(seed, sharp=3.0)
    prompts = [torch.randint(1, ours.embedding.num_embeddings, (n,)).tolist() for n in (5, 2, 8)]
    got = generate(ours, prompts, steps=20)
    longest = max(map(len, prompts))
    tokens = torch.tensor([[0] * (longest - len(row)) + row for row in prompts])
    want = theirs.generate(tokens, attention_mask=(tokens > 0).long(), max_new_tokens=20, do_sample=False,
                           pad_token_id=0)[:, longest:].tolist()
    assert got == [row[:row.index(0)] if 0 in row else row for row in want]
    assert got == [generate(ours, [row], steps=20)[0] for row in prompts]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("beams", [2, 4])
def test_beam_search_is_token_identical(seed, beams):
    ours, theirs = pair(seed, sharp=2.0)
    prompt = torch.randint(1, ours.embedding.num_embeddings, (4,)).tolist()
    want = theirs.generate(torch.tensor([prompt]), num_beams=beams, max_new_tokens=15, do_sample=False,
                           attention_mask=torch.ones(1, 4, dtype=torch.long), pad_token_id=0)[0, 4:].tolist()
    assert beam_search(ours, prompt, beams, steps=15) == [token for token in want if token]


@pytest.mark.parametrize("seed", range(10))
def test_top_k_and_top_p_equal_transformers(seed):
    from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper
    torch.manual_seed(seed)
    logits = torch.randn(4, 30) * 3
    for k, p in ((0, 1.0), (5, 1.0), (0, 0.8), (7, 0.6), (1, 0.01)):
        want = TopKLogitsWarper(k)(None, logits) if k else logits
        want = TopPLogitsWarper(p)(None, want) if p < 1 else want
        assert limited(logits, k, p).softmax(-1).allclose(want.softmax(-1), atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_lesson_12_with_learned_places_is_gpt2(seed):
    """A causal Encoder of lesson 12 is GPT-2 (Radford et al. 2019), but for the names."""
    torch.manual_seed(seed)
    width, heads, layers, vocab = 8 * (seed + 1), 2, 1 + seed % 3, 20
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=vocab, n_positions=16, n_embd=width, n_layer=layers, n_head=heads, activation_function="gelu",
        bos_token_id=0, eos_token_id=0)).eval()
    body, core = Encoder(layers, width, heads), theirs.transformer
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
        for ours, block in zip(body.blocks, core.h):
            for part, w, b in zip((ours.attend.query, ours.attend.key, ours.attend.value),
                                  block.attn.c_attn.weight.chunk(3, 1), block.attn.c_attn.bias.chunk(3)):
                part.weight.copy_(w.T), part.bias.copy_(b)                   # Conv1D keeps (in, out)
            for part, conv in ((ours.attend.output, block.attn.c_proj), (ours.think[0], block.mlp.c_fc),
                               (ours.think[2], block.mlp.c_proj)):
                part.weight.copy_(conv.weight.T), part.bias.copy_(conv.bias)
            ours.norm.load_state_dict(block.ln_1.state_dict())
            ours.think_norm.load_state_dict(block.ln_2.state_dict())
        body.norm.load_state_dict(core.ln_f.state_dict())
    tokens = torch.randint(vocab, (3, 11))
    x = core.wte(tokens) + core.wpe(torch.arange(11))
    logits = F.linear(body(x, causal_mask(11)), core.wte.weight)
    assert apart(logits, theirs(tokens).logits) < 1e-5
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    assert abs(loss.item() - theirs(tokens, labels=tokens).loss.item()) < 1e-6


def test_texts_of_one_row_do_not_see_one_another():
    ours, _ = pair(3)
    one, two = torch.tensor([[0, 4, 5, 6]]), torch.tensor([[0, 7, 8, 9, 3, 0]])
    alone = [next_token_loss(ours, row).item() for row in (torch.cat([one, two[:, :1]], 1), two)]
    assert abs(next_token_loss(ours, torch.cat([one, two], 1)).item() - (4 * alone[0] + 5 * alone[1]) / 9) < 1e-5
