"""Vision Transformer: a picture cut into patches and read like a sentence (lesson 14)."""

import torch
from torch import nn

from mmcourse.models.transformer import Encoder
from mmcourse.world import SPECS, Object, Scene

STANDARD = SPECS["standard"]
KINDS = [(color, shape) for color in STANDARD.colors for shape in STANDARD.shapes]


def patchify(images, size):
    """Cut pictures (B, C, H, W) into patches (B, N, C * size * size), in reading order."""
    batch, channels, height, width = images.shape
    if height % size or width % size:
        raise ValueError(f"A picture of {height} x {width} pixels does not split into "
                         f"patches of {size} x {size}.")
    cut = images.reshape(batch, channels, height // size, size, width // size, size)
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


class VisionTransformer(nn.Module):
    """ViT (Dosovitskiy et al. 2021): images (B, 3, H, W) -> (B, 1 + N, D), class first.

    pre_norm: normalize before the first block too, as CLIP does (Radford et al. 2021);
    inside of the blocks the norm comes first in any case.
    """

    def __init__(self, image_size, patch_size, d_model, num_heads, num_layers,
                 d_ff=None, pre_norm=False):
        super().__init__()
        self.patch_size, patches = patch_size, (image_size // patch_size) ** 2
        self.patch = nn.Linear(3 * patch_size ** 2, d_model)
        self.class_token = nn.Parameter(torch.randn(d_model) * 0.02)
        self.position = nn.Parameter(torch.randn(1 + patches, d_model) * 0.02)
        self.pre_norm = nn.LayerNorm(d_model) if pre_norm else nn.Identity()
        self.encoder = Encoder(num_layers, d_model, num_heads, d_ff)

    def forward(self, images):
        patches = self.patch(patchify(images, self.patch_size))              # (B, N, D)
        first = self.class_token.expand(len(images), 1, -1)                      # (B, 1, D)
        tokens = torch.cat([first, patches], dim=1) + self.position
        return self.encoder(self.pre_norm(tokens))


# Our names and those of transformers, for ViTModel and for CLIPVisionModel
NAMES = {
    "patch": ("embeddings.patch_embeddings.projection", "embeddings.patch_embedding"),
    "class_token": ("embeddings.cls_token", "embeddings.class_embedding"),
    "position": ("embeddings.position_embeddings", "embeddings.position_embedding.weight"),
    "pre_norm": (None, "pre_layrnorm"),
    "encoder.norm": ("layernorm", "post_layernorm"),
    "encoder.blocks": ("layers", "encoder.layers"),
    "norm": ("layernorm_before", "layer_norm1"),
    "think_norm": ("layernorm_after", "layer_norm2"),
    "attend.query": ("attention.q_proj", "self_attn.q_proj"),
    "attend.key": ("attention.k_proj", "self_attn.k_proj"),
    "attend.value": ("attention.v_proj", "self_attn.v_proj"),
    "attend.output": ("attention.o_proj", "self_attn.out_proj"),
    "think.0": ("mlp.fc1", "mlp.fc1"),
    "think.2": ("mlp.fc2", "mlp.fc2"),
}


def to_transformers(vit):
    """The weights as transformers' ViTModel names them, with pre_norm as CLIPVisionModel does."""
    clip = isinstance(vit.pre_norm, nn.LayerNorm)
    names = {ours: theirs[clip] for ours, theirs in NAMES.items()}
    weights, size = {}, vit.patch_size
    for name, value in vit.state_dict().items():
        if name.startswith("encoder.blocks."):
            _, _, number, *part, kind = name.split(".")
            name = f"{names['encoder.blocks']}.{number}.{names['.'.join(part)]}.{kind}"
        elif name in names:                                  # a parameter of the model itself
            name = names[name]
        else:
            part, _, kind = name.rpartition(".")
            name = f"{names[part]}.{kind}"
        weights[name] = value.clone()
    patch = f"{names['patch']}.weight"                    # a convolution there, a linear layer here
    weights[patch] = weights[patch].unflatten(1, (3, size, size))
    if clip:                             # CLIP's patches have no bias: their positions can hold it
        weights[names["position"]][1:] += weights.pop(f"{names['patch']}.bias")
    else:
        weights[names["class_token"]] = weights[names["class_token"]][None, None]
        weights[names["position"]] = weights[names["position"]][None]
    return weights


@torch.no_grad()
def attention_maps(vit, images):
    """The weights of every block, (L, B, H, 1 + N, 1 + N): who looks at whom."""
    maps = []
    hooks = [block.attend.register_forward_hook(lambda layer, given, out: maps.append(out[1]))
             for block in vit.encoder.blocks]
    vit(images)
    for hook in hooks:
        hook.remove()
    return torch.stack(maps)


def attention_distance(maps, patch_size):
    """How far heads look, in pixels: (L, B, H, 1 + N, 1 + N) -> (L, H).

    The mean distance of two patches' middles, weighted by the attention between them,
    over all pictures and patches; the class token has no place and is left out.
    """
    weights = maps[..., 1:, 1:]
    weights = weights / weights.sum(-1, keepdim=True)
    along = torch.arange(round(weights.shape[-1] ** 0.5)).float() * patch_size
    places = torch.cartesian_prod(along, along)                                  # (N, 2)
    return (weights.cpu() * torch.cdist(places, places)).sum(-1).mean((1, 3))


class VisionEncoder(nn.Module):
    """The course's eye: a ViT trained to say for each patch which thing lies over it.

    forward(images (B, 3, 64, 64) in [-1, 1]) -> (B, 64, 128): a token for each 8 x 8 patch.
    `vit(images)` keeps the class token, first, which knows what kinds of things there are.
    """

    PARTS = {"center": 1, "covered": 1, "shape": 4, "color": 6, "size": 2, "place": 2}

    def __init__(self, num_layers=4):
        super().__init__()
        self.vit = VisionTransformer(64, 8, d_model=128, num_heads=4, num_layers=num_layers)
        self.cell = nn.Linear(128, sum(self.PARTS.values()))
        self.picture = nn.Linear(128, len(KINDS))

    def forward(self, images):
        return self.vit(images)[:, 1:]

    def report(self, images):
        """What it says: {part: (B, 64, width)} of each patch, "kinds" (B, 24) of the whole."""
        tokens = self.vit(images)
        parts = self.cell(tokens[:, 1:]).float().split(tuple(self.PARTS.values()), dim=-1)
        return dict(zip(self.PARTS, parts)) | {"kinds": self.picture(tokens[:, 0]).float()}

    @torch.no_grad()
    def read(self, images):
        """The scenes that it sees: a thing for each patch that says "its center is here"."""
        said, scenes = self.report(images), []
        for b, centers in enumerate(said["center"][..., 0] > 0):
            things = []
            for n in centers.nonzero()[:, 0].tolist():
                shape, color, size = (STANDARD.words(part)[said[part][b, n].argmax()]
                                      for part in ("shape", "color", "size"))
                x, y = said["place"][b, n].clamp(0, 1).tolist()
                things.append(Object(shape, color, size, x=x, y=y))
            scenes.append(Scene(things))
        return scenes
