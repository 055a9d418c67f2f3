"""The Transformer against torch's layers and transformers' BERT and Marian: outputs, losses, gradients, generation."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmcourse import world, zoo
from mmcourse.models.attention import attention, causal_mask, padding_mask
from mmcourse.models.transformer import (END, PAD, START, Block, Decoder, Encoder, EncoderDecoder, FeedForward,
                                         TokenEmbedding, rotary, shift_right, sinusoidal)
from mmcourse.recipes import parser


def apart(one, two):
    return (one - two).abs().max().item()


def pick(low, high):
    return int(torch.randint(low, high, ()))


def fill(attend, library):
    """Our MultiHeadAttention <- nn.MultiheadAttention."""
    rows = zip((attend.query, attend.key, attend.value), library.in_proj_weight.chunk(3), library.in_proj_bias.chunk(3))
    for part, weight, bias in rows:
        part.weight.copy_(weight)
        part.bias.copy_(bias)
    attend.output.load_state_dict(library.out_proj.state_dict())


@torch.no_grad()
def fill_block(block, layer):
    """Our Block <- nn.TransformerEncoderLayer or nn.TransformerDecoderLayer."""
    fill(block.attend, layer.self_attn)
    norms = [block.norm, block.think_norm]
    if block.cross:
        fill(block.cross, layer.multihead_attn)
        norms.insert(1, block.cross_norm)
    for i, norm in enumerate(norms, 1):
        norm.load_state_dict(getattr(layer, f"norm{i}").state_dict())
    block.think[0].load_state_dict(layer.linear1.state_dict())
    block.think[2].load_state_dict(layer.linear2.state_dict())


def shuffled(module):
    """Random norms and biases too, so that a forgotten one shows."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return module


def lengths_mask(batch, longest):
    lengths = torch.randint(1, longest + 1, (batch,))
    return padding_mask(lengths, longest)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_block_equals_torch(seed, norm_first):
    torch.manual_seed(seed)
    batch, length, keys, heads, d_ff = pick(1, 4), pick(1, 9), pick(1, 9), pick(1, 5), pick(8, 40)
    width = 4 * heads
    options = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": norm_first}
    x, context = (torch.randn(batch, n, width, requires_grad=True) for n in (length, keys))
    padding, context_padding = lengths_mask(batch, length), lengths_mask(batch, keys)
    future = ~causal_mask(length)
    for cross in (False, True):
        kind = nn.TransformerDecoderLayer if cross else nn.TransformerEncoderLayer
        layer = shuffled(kind(width, heads, d_ff, **options))
        block = Block(width, heads, d_ff, cross, norm_first)
        fill_block(block, layer)
        if cross:
            ours = block(x, causal_mask(length), context, context_padding)
            theirs = layer(x, context, tgt_mask=future, memory_key_padding_mask=~context_padding[:, 0, 0])
        else:
            ours = block(x, padding)
            theirs = layer(x, src_key_padding_mask=~padding[:, 0, 0])
        assert apart(ours, theirs) < 1e-5
        pull = torch.randn_like(ours)
        inputs = (x, context) if cross else (x,)
        for one, two in zip(torch.autograd.grad((ours * pull).sum(), (*inputs, block.think[0].weight, block.norm.weight)),
                            torch.autograd.grad((theirs * pull).sum(), (*inputs, layer.linear1.weight, layer.norm1.weight))):
            assert apart(one, two) < 1e-4


@pytest.mark.parametrize("norm_first", [True, False])
def test_stacks_equal_torch(norm_first):
    torch.manual_seed(0)
    options = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": norm_first}
    norm = nn.LayerNorm(16) if norm_first else None
    layer = nn.TransformerEncoderLayer(16, 2, 24, **options)
    encoder = shuffled(nn.TransformerEncoder(layer, 3, norm, enable_nested_tensor=False))
    decoder = shuffled(nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 2, 24, **options), 3, norm))
    ours = Encoder(3, 16, 2, 24, norm_first), Decoder(3, 16, 2, 24, norm_first)
    for mine, library in zip(ours, (encoder, decoder)):
        for block, layer in zip(mine.blocks, library.layers):
            fill_block(block, layer)
        if norm_first:
            mine.norm.load_state_dict(library.norm.state_dict())
    x, y, mask = torch.randn(3, 7, 16), torch.randn(3, 5, 16), lengths_mask(3, 7)
    context = ours[0](x, mask)
    assert apart(context, encoder(x, src_key_padding_mask=~mask[:, 0, 0])) < 1e-5
    want = decoder(y, context, tgt_mask=~causal_mask(5), memory_key_padding_mask=~mask[:, 0, 0])
    assert apart(ours[1](y, context, mask), want) < 1e-5


def fill_layer(block, attend, cross, think, norms):
    """Our Block <- the parts of a transformers layer: attend and cross are (query, key, value, output)."""
    for mine, theirs in ((block.attend, attend), (block.cross, cross)):
        if theirs:
            for name, part in zip(("query", "key", "value", "output"), theirs):
                getattr(mine, name).load_state_dict(part.state_dict())
    for part, theirs in zip((block.think[0], block.think[2]), think):
        part.load_state_dict(theirs.state_dict())
    mine = (block.norm, block.cross_norm, block.think_norm) if cross else (block.norm, block.think_norm)
    for part, theirs in zip(mine, norms):
        part.load_state_dict(theirs.state_dict())


@pytest.mark.parametrize("seed", range(6))
def test_encoder_equals_bert(seed):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    heads, layers, length = pick(1, 5), pick(1, 4), pick(2, 12)
    width, d_ff, batch = 4 * heads, pick(8, 40), pick(1, 4)
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=d_ff,
        hidden_dropout_prob=0, attention_probs_dropout_prob=0, max_position_embeddings=16, layer_norm_eps=1e-5)
    bert = shuffled(transformers.BertModel(config, add_pooling_layer=False))
    embed, norm = TokenEmbedding(30, width, "learned", 16), nn.LayerNorm(width)
    encoder, theirs = Encoder(layers, width, heads, d_ff, norm_first=False), bert.embeddings
    with torch.no_grad():
        embed.words.weight.copy_(theirs.word_embeddings.weight)
        embed.places.weight.copy_(theirs.position_embeddings.weight + theirs.token_type_embeddings.weight[0])
    norm.load_state_dict(theirs.LayerNorm.state_dict())
    for block, layer in zip(encoder.blocks, bert.encoder.layer):
        own = layer.attention.self
        fill_layer(block, (own.query, own.key, own.value, layer.attention.output.dense), None,
                   (layer.intermediate.dense, layer.output.dense), (layer.attention.output.LayerNorm, layer.output.LayerNorm))
    ids, mask = torch.randint(30, (batch, length)), lengths_mask(batch, length)
    ours = encoder(norm(embed(ids)), mask)
    want = bert(ids, attention_mask=mask[:, 0, 0].long()).last_hidden_state
    real = mask[:, 0, 0, :, None]
    assert apart(ours * real, want * real) < 1e-5
    pull = torch.randn_like(ours) * real
    mine = torch.autograd.grad((ours * pull).sum(), (embed.words.weight, encoder.blocks[0].think[0].weight))
    library = torch.autograd.grad((want * pull).sum(),
                                  (theirs.word_embeddings.weight, bert.encoder.layer[0].intermediate.dense.weight))
    assert apart(mine[0][1:], library[0][1:]) < 1e-4        # theirs has a padding_idx, which drops row 0
    assert apart(mine[1], library[1]) < 1e-4


def marian(heads, layers, d_ff, scale=False):
    """A tiny MarianMTModel and our EncoderDecoder with its weights."""
    transformers = pytest.importorskip("transformers")
    width = 4 * heads
    config = transformers.MarianConfig(
        vocab_size=20, d_model=width, encoder_layers=layers, decoder_layers=layers, encoder_attention_heads=heads,
        decoder_attention_heads=heads, encoder_ffn_dim=d_ff, decoder_ffn_dim=d_ff, activation_function="gelu",
        dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, max_position_embeddings=64, scale_embedding=scale,
        pad_token_id=PAD, decoder_start_token_id=START, eos_token_id=END, forced_eos_token_id=None)
    theirs = transformers.MarianMTModel(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
    ours = EncoderDecoder(20, 20, width, heads, layers, d_ff, norm_first=False, positions="learned")
    with torch.no_grad():
        for embed in (ours.source, ours.target):
            embed.words.weight.copy_(theirs.model.shared.weight)
            embed.places.weight.copy_(theirs.model.encoder.embed_positions.weight)
        ours.output.weight.copy_(theirs.lm_head.weight)
    for mine, library in ((ours.encoder, theirs.model.encoder), (ours.decoder, theirs.model.decoder)):
        for block, layer in zip(mine.blocks, library.layers):
            pairs = [(layer.self_attn, layer.self_attn_layer_norm)]
            if block.cross:
                pairs.append((layer.encoder_attn, layer.encoder_attn_layer_norm))
            attends = [(a.q_proj, a.k_proj, a.v_proj, a.out_proj) for a, _ in pairs]
            fill_layer(block, attends[0], attends[1] if block.cross else None, (layer.fc1, layer.fc2),
                       (*(norm for _, norm in pairs), layer.final_layer_norm))
    return ours, theirs


def sentences(batch, longest):
    """Random rows of words 3 to 19 that end with END and are filled up with PAD."""
    rows = torch.randint(3, 20, (batch, longest))
    lengths = torch.randint(1, longest, (batch, 1))
    spot = torch.arange(longest)
    return rows.masked_fill(spot > lengths, PAD).masked_fill(spot == lengths, END)


@pytest.mark.parametrize("seed", range(10))
def test_encoder_decoder_equals_marian(seed):
    torch.manual_seed(seed)
    ours, theirs = marian(pick(1, 5), pick(1, 4), pick(8, 40))
    source, target = sentences(pick(1, 5), pick(2, 10)), sentences(pick(1, 5), pick(2, 10))
    source, target = source[:len(target)], target[:len(source)]
    labels = target.masked_fill(target == PAD, -100)
    mask = (source != PAD).long()
    want = theirs(source, attention_mask=mask, labels=labels)
    assert apart(ours(source, target), want.logits) < 1e-5
    loss = ours.loss(source, target)
    assert abs(loss.item() - want.loss.item()) < 1e-6
    loss.backward()
    want.loss.backward()
    shared = ours.source.words.weight.grad + ours.target.words.weight.grad + ours.output.weight.grad
    shared[PAD], grad = 0, theirs.model.shared.weight.grad.clone()
    grad[PAD] = 0                            # theirs has a padding_idx, which drops that row's gradient
    assert apart(shared, grad) < 1e-4
    for mine, library in ((ours.encoder, theirs.model.encoder), (ours.decoder, theirs.model.decoder)):
        for block, layer in zip(mine.blocks, library.layers):
            assert apart(block.attend.key.weight.grad, layer.self_attn.k_proj.weight.grad) < 1e-4
            assert apart(block.think[0].weight.grad, layer.fc1.weight.grad) < 1e-4
            assert apart(block.think_norm.weight.grad, layer.final_layer_norm.weight.grad) < 1e-4
    cross = [getattr(theirs.model.decoder.layers[0].encoder_attn, name) for name in ("q_proj", "v_proj", "out_proj")]
    mine = [getattr(ours.decoder.blocks[0].cross, name) for name in ("query", "value", "output")]
    assert all(apart(a.weight.grad, b.weight.grad) < 1e-4 for a, b in zip(mine, cross))


@pytest.mark.parametrize("seed", range(5))
def test_generate_equals_marian_word_for_word(seed):
    torch.manual_seed(seed)
    ours, theirs = marian(3, 2, 24)
    source = sentences(4, 8)
    want = theirs.generate(source, attention_mask=(source != PAD).long(), max_new_tokens=15, num_beams=1, do_sample=False,
                           bad_words_ids=None)
    assert torch.equal(ours.generate(source, longest=15), want[:, 1:])


def test_the_wave_table_is_marians_in_another_order():
    transformers = pytest.importorskip("transformers")
    from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding as Table
    for length, width in ((1, 2), (30, 16), (200, 64)):
        table = Table(length, width)
        table.weight = nn.Parameter(torch.empty(length, width), requires_grad=False)
        table._init_weight() if hasattr(table, "_init_weight") else table.weight.data.copy_(table.create_weight())
        mine = sinusoidal(length, width)
        assert apart(torch.cat([mine[:, ::2], mine[:, 1::2]], 1), table.weight) < 1e-4
    assert transformers


def test_waves_by_hand():
    table = sinusoidal(3, 4)
    want = [[0, 1, 0, 1], [0.8415, 0.5403, 0.0100, 1.0000], [0.9093, -0.4161, 0.0200, 0.9998]]
    assert apart(table, torch.tensor(want)) < 1e-4


def test_rotary_equals_llama_and_sees_only_distances():
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    torch.manual_seed(0)
    query, key = torch.randn(2, 3, 10, 8), torch.randn(2, 3, 10, 8)
    places = torch.arange(10)
    angles = places[:, None] * 10000.0 ** (-torch.arange(4) / 4)
    angles = torch.cat([angles, angles], -1)[None]
    want = llama.apply_rotary_pos_emb(query, key, angles.cos(), angles.sin())
    assert apart(rotary(query), want[0]) < 1e-6 and apart(rotary(key, places), want[1]) < 1e-6
    near, far = (attention(rotary(query, places + s), rotary(key, places + s), key)[1] for s in (0, 1000))
    assert apart(near, far) < 1e-3
    assert apart(rotary(query)[:, :, 5:7], rotary(query[:, :, 5:7], torch.tensor([5, 6]))) == 0


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", None])
def test_padding_batching_and_causality(positions):
    torch.manual_seed(0)
    model = shuffled(EncoderDecoder(20, 20, 16, 2, positions=positions))
    source, target = sentences(5, 8), sentences(5, 9)
    logits = model(source, target)
    wider = model(F.pad(source, (0, 4), value=PAD), F.pad(target, (0, 3), value=PAD))[:, :9]
    alone = torch.cat([model(source[i:i + 1], target[i:i + 1]) for i in range(5)])
    assert apart(logits, wider) < 1e-5 and apart(logits, alone) < 1e-5
    other = target.clone()
    other[:, 4] = (other[:, 4] - 3 + 5) % 17 + 3
    changed = model(source, other)
    assert apart(logits[:, :5], changed[:, :5]) < 1e-6 and apart(logits[:, 5:], changed[:, 5:]) > 1e-3
    swapped = source.clone()
    swapped[:, :2] = source[:, :2].flip(1)
    moved = apart(model.encode(source)[0].sum(1), model.encode(swapped)[0].sum(1)) > 1e-4
    assert moved == bool(positions)


def test_it_overfits_one_batch_and_writes_it_back():
    torch.manual_seed(0)
    model = EncoderDecoder(20, 20, 32, 2, 1)
    source, target = sentences(8, 6), sentences(8, 7)
    start = model.loss(source, target).item()
    assert abs(start - torch.log(torch.tensor(20.0)).item()) < 1
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = model.loss(source, target)
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    written = model.generate(source)
    assert torch.equal(F.pad(written, (0, 7 - written.shape[1]), value=PAD), target)
    assert model.generate(source, longest=2).shape == (8, 2)


def test_shift_by_hand_and_wrong_use():
    assert shift_right(torch.tensor([[7, 8, END, PAD]])).tolist() == [[START, 7, 8, END]]
    assert FeedForward(4, 6)(torch.randn(2, 3, 4)).shape == (2, 3, 4)
    with pytest.raises(ValueError, match="5 words, but only 4 learned places"):
        TokenEmbedding(9, 8, "learned", 4)(torch.zeros(1, 5, dtype=torch.long))


def test_programs_as_rows_of_words_and_back():
    for scene, question in parser.asked(2**33, 600):
        assert parser.nested(parser.flat(question.program)) == question.program
        assert parser.right(question.program, scene, question)
    assert parser.flat(("count", ("filter", ("red", "star"), ("scene",)))) == ["count", "filter", "red", "star", "scene"]
    for words, said in (("count", "too early"), ("red scene", "No program starts with 'red'"),
                        ("count scene scene", "complete before 'scene'"), ("filter red", "too early")):
        with pytest.raises(ValueError, match=said):
            parser.nested(words.split())


def test_the_parser_knows_every_word_of_the_questions_and_names_one_it_does_not():
    source, target = parser.tensors(parser.asked(0, 800))
    assert source.max() < len(parser.QUESTION_WORDS) and target.max() < len(parser.PROGRAM_WORDS)
    with pytest.raises(ValueError, match="does not know the word 'elephant'"):
        parser.rows([parser.split("what color is the elephant?")], parser.QUESTION_WORDS)


def test_the_shipped_parser_writes_programs_that_run():
    model = zoo.load("parser")
    scores = parser.evaluate(model, parser.asked(2**33, 500))
    assert min(scores.values()) > 0.95 and scores["answer"] > 0.98
    program, = model.programs(["what color is the small circle left of the large square?"])
    assert program == world.parse("what color is the small circle left of the large square?")
