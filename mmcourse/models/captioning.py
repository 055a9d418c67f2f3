"""A captioner: the course's eye, and a decoder that writes while it looks at what the eye saw (lesson 32)."""

import warnings
from copy import copy

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from mmcourse.batches import END, PAD, START, WORDS, decode, pictures, pixels
from mmcourse.metrics import is_true
from mmcourse.models.attention import attention, causal_mask
from mmcourse.models.language_model import beam_search, generate
from mmcourse.models.transformer import Decoder, TokenEmbedding
from mmcourse.models.vit import VisionEncoder
from mmcourse.models.vit import to_transformers as vit_names
from mmcourse.world import STYLES

LONGEST = 64                                        # words of a caption, the first included
# The first word tells the style: <start> "full", which names every thing; others have their own
OTHERS = [style for style in STYLES if style != "full"]
STARTS = {"full": START} | {style: len(WORDS) + i for i, style in enumerate(OTHERS)}


class Captioner(nn.Module):
    """Picture in, sentence out (Vinyals et al. 2015), a Transformer for both.

    forward(images (B, 3, 64, 64) in [-1, 1], ids (B, T)) -> logits (B, T, V): at each place
    the next word, given the picture and the true words up to there. A caption begins with one
    of STARTS, which tells its style: batches.encode gives it <start>, the style "full".
    """

    def __init__(self, d_model=128, num_heads=4, num_layers=3):
        super().__init__()
        self.vision = VisionEncoder()
        self.words = TokenEmbedding(len(WORDS) + len(OTHERS), d_model, "learned", LONGEST)
        self.decoder = Decoder(num_layers, d_model, num_heads)
        self.output = nn.Linear(d_model, len(WORDS), bias=False)

    def forward(self, images, ids):
        return self.decode(ids, self.see(images))

    def see(self, images):
        """Pictures as tokens (B, 65, D): the class token, then one for each 8 x 8 patch."""
        return self.vision.vit(images)

    def decode(self, ids, context):
        """Words so far (B, T) beside what the eye saw (B, 65, D) -> logits (B, T, V)."""
        return self.output(self.decoder(self.words(ids), context))

    @torch.no_grad()
    def attention(self, images, ids):
        """Where it looks when it has read ids[:, :t + 1] to write the next: (B, T, 8, 8).

        The mean over blocks and heads. What a map lacks to 1 rests on the class token.
        """
        maps = []
        hooks = [block.cross.register_forward_hook(lambda part, given, out: maps.append(out[1]))
                 for block in self.decoder.blocks]
        self(images, ids)
        for hook in hooks:
            hook.remove()
        return torch.stack(maps).mean((0, 2))[..., 1:].unflatten(-1, (8, 8))

    def familiar(self, images):
        """Is it of this world? (B,) booleans: what the eye sees, drawn anew, looks the same."""
        drawn = pictures(self.vision.read(images)).to(images.device)
        return (drawn - images).abs().mean((1, 2, 3)) < 0.05       # held-out scenes: 0.03 at most

    @torch.inference_mode()
    def describe(self, images, style="full", tries=8, seed=0, **choice):
        """A sentence about a PIL image, or a list of them about a list.

        style is one of world.STYLES; `choice` as in `write`. It checks itself: as long as what its
        own eye reads does not bear a sentence out, it draws another, up to `tries` in all
        (tries=1: it says what comes first). Warns where a picture is not `familiar`: what is said of a photograph
        means nothing.
        """
        if style not in STARTS:
            raise ValueError(f"There is no style {style!r}: choose one of {', '.join(STARTS)}.")
        shown = pixels(images).to(self.output.weight.device)
        if not (known := self.familiar(shown)).all():
            warnings.warn(f"Picture {known.tolist().index(False)} does not look like this world's, "
                          "solid shapes on white: do not trust its sentence.", stacklevel=2)
        context = self.see(shown)
        said = self.write(context, style, seed=seed, **choice)
        scenes = self.vision.read(shown) if tries > 1 else []
        for i, scene in enumerate(scenes):                # one by one: its neighbors change nothing
            for attempt in range(1, tries):
                if is_true(scene, said[i]):
                    break
                said[i] = self.write(context[[i]], style, seed=seed + attempt, temperature=0.7)[0]
        return said[0] if isinstance(images, Image.Image) else said

    def write(self, context, style="full", beams=1, length_penalty=1.0, seed=0, **choice):
        """Sentences about what the eye saw (B, 65, D), a list.

        beams > 1 searches with `beam_search`; else `choice` is temperature, top_k, top_p as in
        `draw`, by default the likeliest word each time.
        """
        start, steps = [STARTS[style]], LONGEST - 1
        if beams > 1:
            rows = [beam_search(Telling(self, one[None]), start, beams, steps, END, length_penalty)
                    for one in context]
        else:
            random = torch.Generator(context.device).manual_seed(seed)
            rows = generate(Telling(self, context), [start] * len(context), steps, END,
                            random=random, **choice)
        return [decode(torch.tensor([row]))[0] for row in rows]


class Telling:
    """A captioner beside what it sees (B, 65, D), as `generate` and `beam_search` ask for it.

    Called with words (B, T), it gives the logits (B, T, V) that `decode` gives, but makes a
    picture's keys and values once, for all of its captions. With a cache, [] for each block at
    first, then [keys, values] of the words before, it takes one new word at a time, (B, 1).
    """

    def __init__(self, captioner, context):
        self.words, self.output = captioner.words, captioner.output
        self.blocks, self.norm = captioner.decoder.blocks, captioner.decoder.norm
        self.seen = [[block.cross.split(part(context)).contiguous()          # else copied at each step
                      for part in (block.cross.key, block.cross.value)] for block in self.blocks]

    def about(self, numbers):
        """The same beside the pictures of these numbers (B,), which may repeat."""
        chosen = copy(self)
        chosen.seen = [[part.index_select(0, numbers) for part in seen] for seen in self.seen]
        return chosen

    def __call__(self, tokens, real=None, cache=None):
        place = cache[0][0].shape[2] if cache and cache[0] else 0
        x = self.words.words(tokens) + self.words.places.weight[place:place + tokens.shape[1]]
        mask = causal_mask(tokens.shape[1]).to(x.device) if tokens.shape[1] > 1 else None
        for block, seen, past in zip(self.blocks, self.seen, cache or [[] for _ in self.blocks]):
            y, layer = block.norm(x), block.attend
            new = [layer.split(part(y)) for part in (layer.key, layer.value)]
            past[:] = [torch.cat(two, 2) for two in zip(past, new)] if past else new
            x = x + look(layer, y, *past, mask)
            x = x + look(block.cross, block.cross_norm(x), *seen)
            x = x + block.think(block.think_norm(x))
        return self.output(self.norm(x))


def look(layer, x, keys, values, mask=None):
    """A MultiHeadAttention of x (B, T, D) over keys and values (B, H, S, d) made before."""
    query = layer.split(layer.query(x))
    if query.dtype == torch.bfloat16 and not query.is_cuda:                  # torch's call is slow with it
        mixed, _ = attention(query, keys, values, mask)
    else:
        mixed = F.scaled_dot_product_attention(query, keys, values, mask)
    return layer.output(mixed.transpose(1, 2).flatten(2))


def to_transformers(captioner):
    """The same captioner as transformers' VisionEncoderDecoderModel: a ViTModel, and a GPT-2 that looks at it.

    Its `generate(pixel_values=...)` gives the token ids of "full" captions; `decoder_start_token_id` takes other STARTS.
    """
    from transformers import GPT2Config, GPT2LMHeadModel, VisionEncoderDecoderModel, ViTConfig, ViTModel
    vit, words = captioner.vision.vit, captioner.words.words.weight
    (rows, width), eye, blocks = words.shape, vit.encoder.blocks, captioner.decoder.blocks
    encoder = ViTConfig(hidden_size=width, num_hidden_layers=len(eye), num_attention_heads=eye[0].attend.num_heads,
                        intermediate_size=eye[0].think[0].out_features, image_size=64, patch_size=vit.patch_size,
                        layer_norm_eps=1e-5)
    decoder = GPT2Config(vocab_size=rows, n_positions=LONGEST, n_embd=width, n_layer=len(blocks),
                         n_head=blocks[0].attend.num_heads, activation_function="gelu", bos_token_id=START, eos_token_id=END,
                         add_cross_attention=True, is_decoder=True, tie_word_embeddings=False)
    model = VisionEncoderDecoderModel(encoder=ViTModel(encoder, add_pooling_layer=False),
                                      decoder=GPT2LMHeadModel(decoder)).eval()
    silent = torch.zeros(rows - len(WORDS), width).to(words)                    # nobody says the words of styles
    weights = {"encoder." + name: value for name, value in vit_names(vit).items()}
    weights |= {"decoder." + name: value for name, value in gpt2_names(captioner.decoder).items()}
    weights |= {"decoder.transformer.wte.weight": words, "decoder.transformer.wpe.weight": captioner.words.places.weight,
                "decoder.lm_head.weight": torch.cat([captioner.output.weight, silent])}
    model.load_state_dict(weights)
    model.generation_config.update(decoder_start_token_id=START, eos_token_id=END, pad_token_id=PAD, max_length=LONGEST,
                                   suppress_tokens=list(range(len(WORDS), rows)))
    return model


def gpt2_names(decoder):
    """The weights of a Decoder under the names of GPT2LMHeadModel, which keeps matrices as (in, out)."""
    weights = {}

    def put(name, *layers):
        weights[f"{name}.weight"] = torch.cat([layer.weight.T if layer.weight.dim() == 2 else layer.weight
                                               for layer in layers], -1)
        weights[f"{name}.bias"] = torch.cat([layer.bias for layer in layers])

    for i, block in enumerate(decoder.blocks):
        own, cross, name = block.attend, block.cross, f"transformer.h.{i}."
        put(name + "ln_1", block.norm)
        put(name + "attn.c_attn", own.query, own.key, own.value)
        put(name + "attn.c_proj", own.output)
        put(name + "ln_cross_attn", block.cross_norm)
        put(name + "crossattention.q_attn", cross.query)
        put(name + "crossattention.c_attn", cross.key, cross.value)
        put(name + "crossattention.c_proj", cross.output)
        put(name + "ln_2", block.think_norm)
        put(name + "mlp.c_fc", block.think[0])
        put(name + "mlp.c_proj", block.think[2])
    put("transformer.ln_f", decoder.norm)
    return weights
