"""The libraries' own layers and models with the weights of ours, so that both compute the same."""

import copy

import torch
from torch import nn


def torch_attention(layer):
    """A MultiHeadAttention's weights as nn.MultiheadAttention names them."""
    parts = layer.query, layer.key, layer.value
    return {"in_proj_weight": torch.cat([part.weight for part in parts]),
            "in_proj_bias": torch.cat([part.bias for part in parts]),
            "out_proj.weight": layer.output.weight, "out_proj.bias": layer.output.bias}


def torch_layers(blocks):
    """Blocks' weights as nn.TransformerEncoder names them, or nn.TransformerDecoder where they have cross-attention."""
    weights = {}
    for i, block in enumerate(blocks):
        norms = [block.norm, block.cross_norm, block.think_norm] if block.cross else [block.norm, block.think_norm]
        parts = {f"norm{n}": norm for n, norm in enumerate(norms, 1)}
        parts |= {"linear1": block.think[0], "linear2": block.think[2]}
        parts = {name: part.state_dict() for name, part in parts.items()} | {"self_attn": torch_attention(block.attend)}
        if block.cross:
            parts["multihead_attn"] = torch_attention(block.cross)
        weights |= {f"layers.{i}.{name}.{kind}": value for name, part in parts.items() for kind, value in part.items()}
    return weights


def attention(layer):
    """A MultiHeadAttention as nn.MultiheadAttention."""
    theirs = nn.MultiheadAttention(layer.output.in_features, layer.num_heads, batch_first=True)
    theirs.load_state_dict(torch_attention(layer))
    return theirs


def stack(blocks, norm=None):
    """Blocks, and a norm behind them, as nn.TransformerEncoder, or as nn.TransformerDecoder if they have cross-attention."""
    block = blocks[0]
    sizes = block.think[0].in_features, block.attend.num_heads, block.think[0].out_features
    options = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": block.norm_first}
    norm = copy.deepcopy(norm)
    if block.cross:
        theirs = nn.TransformerDecoder(nn.TransformerDecoderLayer(*sizes, **options), len(blocks), norm)
    else:
        layer = nn.TransformerEncoderLayer(*sizes, **options)
        theirs = nn.TransformerEncoder(layer, len(blocks), norm, enable_nested_tensor=False)
    weights = torch_layers(blocks)
    weights |= {f"norm.{kind}": value for kind, value in norm.state_dict().items()} if norm else {}
    theirs.load_state_dict(weights)
    return theirs


def llama(model):
    """A LanguageModel as transformers' LlamaForCausalLM."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from mmcourse.models.language_model import as_llama

    (vocab, width), block = model.embedding.weight.shape, model.blocks[0]
    heads, shared, _ = block.attention.heads
    theirs = LlamaForCausalLM(LlamaConfig(
        vocab_size=vocab, hidden_size=width, intermediate_size=block.feed_forward.down.in_features,
        num_hidden_layers=len(model.blocks), num_attention_heads=heads, num_key_value_heads=shared,
        tie_word_embeddings=False, bos_token_id=0, eos_token_id=None))
    theirs.load_state_dict(as_llama(model))
    return theirs.eval()


def vit(model, image_size=64):
    """A VisionTransformer as transformers' ViTModel."""
    from transformers import ViTConfig, ViTModel

    from mmcourse.models.vit import to_transformers

    block = model.encoder.blocks[0]
    theirs = ViTModel(ViTConfig(
        hidden_size=block.think[0].in_features, intermediate_size=block.think[0].out_features,
        num_hidden_layers=len(model.encoder.blocks), num_attention_heads=block.attend.num_heads, image_size=image_size,
        patch_size=model.patch_size, layer_norm_eps=1e-5), add_pooling_layer=False)
    theirs.load_state_dict(to_transformers(model))
    return theirs.eval()


class Eye(nn.Module):
    """A VisionEncoder whose Transformer is transformers' ViTModel: images (B, 3, 64, 64) -> tokens (B, 64, 128)."""

    def __init__(self, eye):
        super().__init__()
        self.vit = vit(eye.vit)

    def forward(self, images):
        return self.vit(images).last_hidden_state[:, 1:]


class Reader(nn.Module):
    """A question's Reader (models/vqa.py) from nn.TransformerEncoder and nn.TransformerDecoder."""

    def __init__(self, reader):
        super().__init__()
        self.words, self.places, self.steps = copy.deepcopy(reader.words), reader.places, reader.steps
        self.encoder, self.decoder = stack(reader.encoder.blocks, reader.encoder.norm), stack(reader.blocks, reader.norm)

    def forward(self, ids, mask):
        words = self.encoder(self.words(ids) + self.places[:ids.shape[1]], src_key_padding_mask=~mask)
        return self.decoder(self.steps.expand(len(ids), -1, -1), words, memory_key_padding_mask=~mask)


def vqa(model):
    """A VQA whose Transformers, the eye and the reader, are the libraries'; no library has the rest."""
    theirs = copy.deepcopy(model)
    theirs.eye = Eye(model.eye).requires_grad_(False)
    theirs.reader = copy.deepcopy(Reader(model.reader))
    return theirs


def painter(model, folder):
    """A Text2Image as a pipeline of diffusers, which is written into the folder and opened from there."""
    from diffusers import DiffusionPipeline
    from diffusers.utils import logging
    from transformers.utils import logging as more_logging

    from mmcourse.models.text2image import save_for_diffusers

    logging.set_verbosity_error(), logging.disable_progress_bar(), more_logging.disable_progress_bar()
    save_for_diffusers(model, folder)
    pipe = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe
