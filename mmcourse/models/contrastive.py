"""Contrastive alignment: pictures and sentences as unit vectors in one space, as CLIP makes them (lesson 21)."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from mmcourse import batches
from mmcourse.models.attention import causal_mask
from mmcourse.models.transformer import END, Encoder, TokenEmbedding
from mmcourse.models.vit import NAMES, VisionTransformer, to_transformers


def info_nce(logits):
    """Scores of pictures (rows) and their sentences (columns), (B, B) -> one number.

    Both ways (Radford et al. 2021): each picture guesses its sentence among B, each
    sentence its picture; the mean of the two cross-entropies. Guessing blindly costs ln B.
    """
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def sigmoid_loss(logits):
    """SigLIP (Zhai et al. 2023): every pair of (B, B) is a question of its own, yes or no.

    Summed over the B pairs of a row, mean over rows. `logits` need a learned bias.
    """
    answers = 2 * torch.eye(len(logits), device=logits.device) - 1           # 1 or -1
    return -F.logsigmoid(answers * logits).sum(-1).mean()


def floor(fits, told=None):
    """The lowest InfoNCE that any model can reach on average, as one batch shows it.

    fits (B, B): is sentence j true of picture i? told (B,): from how many sentences, all
    alike likely, each picture's was drawn (None: as many for all). Every sentence is to be
    as frequent as any other. The best score of a pair is then ln(1 / told[i]) + a constant
    if the sentence is true, else minus infinity (van den Oord et al. 2018).
    """
    told = torch.ones(len(fits), device=fits.device) if told is None else told
    return info_nce((fits / told[:, None]).log())


class TextEncoder(nn.Module):
    """A causal Transformer; the vector over <end> has read all: ids (B, T) -> (B, D)."""

    def __init__(self, vocab_size, d_model, num_heads, num_layers, max_length=64):
        super().__init__()
        self.embedding = TokenEmbedding(vocab_size, d_model, "learned", max_length)
        self.encoder = Encoder(num_layers, d_model, num_heads)

    def forward(self, ids):
        mask = causal_mask(ids.shape[1]).to(ids.device)
        tokens = self.encoder(self.embedding(ids), mask)                         # (B, T, D)
        last = (ids == END).int().argmax(-1)                # padding behind it is never seen
        return tokens[torch.arange(len(ids), device=ids.device), last]


class CLIP(nn.Module):
    """Two encoders, one space (Radford et al. 2021).

    vision: images (B, 3, H, W) -> tokens (B, 1 + N, D), class token first.
    text: ids (B, T) -> (B, E). Both are mapped to unit vectors of `width` numbers.
    """

    LARGEST = math.log(100)                          # of the log scale: exp of it is 100

    def __init__(self, vision, text, d_vision, d_text, width):
        super().__init__()
        self.vision, self.text = vision, text
        self.vision_map = nn.Linear(d_vision, width, bias=False)
        self.text_map = nn.Linear(d_text, width, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def scale(self):
        """What cosines are multiplied with: 1 / temperature, 100 at most."""
        return self.log_scale.clamp(max=self.LARGEST).exp()

    def look(self, images):
        """Pictures (B, 3, H, W) -> unit vectors (B, width)."""
        return F.normalize(self.vision_map(self.vision(images)[:, 0]), dim=-1)

    def read(self, ids):
        """Sentences (B, T) -> unit vectors (B, width)."""
        return F.normalize(self.text_map(self.text(ids)), dim=-1)

    def forward(self, images, ids):
        """Scores (N, M) of N pictures and M sentences: cosine times scale."""
        return self.scale() * self.look(images) @ self.read(ids).T

    @torch.no_grad()
    def look_at(self, images):
        """PIL images, one or a list -> unit vectors (N, width)."""
        where = self.log_scale.device
        return torch.cat([self.look(part.to(where)) for part in batches.pixels(images).split(64)])

    @torch.no_grad()
    def read_all(self, texts):
        """Sentences, one or a list -> unit vectors (M, width). Raises ValueError for unknown words."""
        texts = [texts] if isinstance(texts, str) else list(texts)
        if not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError('Give a sentence or a list of sentences, at least one, like "a red circle".')
        ids, _ = batches.encode(texts)
        return torch.cat([self.read(part) for part in ids.to(self.log_scale.device).split(256)])

    def similarity(self, images, texts):
        """Cosines (N, M), from -1 to 1, of PIL images (one or a list) and sentences (one or a list)."""
        return self.look_at(images) @ self.read_all(texts).T


def standard():
    """The course's CLIP, untrained: 64 x 64 pixels, the words of the world, 128 numbers for each side."""
    return CLIP(VisionTransformer(64, 8, 128, 4, 4, pre_norm=True),
                TextEncoder(len(batches.WORDS), 128, 4, 2), 128, 128, 128)


# ---- the same model in transformers

def order(vocab_size):
    """Our word numbers as CLIPModel has them: <end> last, because its config takes an <end> of 2 for an old format."""
    return [number for number in range(vocab_size) if number != END] + [END]


def names_of_text(encoder):
    """A TextEncoder's weights as transformers' CLIPTextModel names them."""
    parts = {ours: theirs[1] for ours, theirs in NAMES.items() if theirs[0]}
    weights = {"embeddings.token_embedding.weight": encoder.embedding.words.weight,
               "embeddings.position_embedding.weight": encoder.embedding.places.weight,
               "final_layer_norm.weight": encoder.encoder.norm.weight,
               "final_layer_norm.bias": encoder.encoder.norm.bias}
    for name, value in encoder.encoder.blocks.state_dict().items():
        number, *part, kind = name.split(".")
        weights[f"encoder.layers.{number}.{parts['.'.join(part)]}.{kind}"] = value
    return weights


def as_clip(model):
    """A CLIP of this course as transformers' CLIPModel, with equal outputs. Its word i is our word order(V)[i]."""
    from transformers import CLIPConfig, CLIPModel

    def sizes(encoder, **more):
        block, layers = encoder.blocks[0], len(encoder.blocks)
        width, wide = block.think[0].in_features, block.think[0].out_features
        return dict(hidden_size=width, intermediate_size=wide, num_hidden_layers=layers, hidden_act="gelu",
                    num_attention_heads=block.attend.num_heads, projection_dim=len(model.vision_map.weight), **more)

    eye, text = model.vision, model.text
    side = eye.patch_size * round((len(eye.position) - 1) ** 0.5)
    vocab, places = len(text.embedding.words.weight), len(text.embedding.places.weight)
    theirs = CLIPModel(CLIPConfig(
        vision_config=sizes(eye.encoder, image_size=side, patch_size=eye.patch_size),
        text_config=sizes(text.encoder, vocab_size=vocab, max_position_embeddings=places, pad_token_id=0,
                          bos_token_id=1, eos_token_id=vocab - 1),
        projection_dim=len(model.vision_map.weight)))
    weights = {f"vision_model.{name}": value for name, value in to_transformers(eye).items()}
    weights |= {f"text_model.{name}": value for name, value in names_of_text(text).items()}
    words = "text_model.embeddings.token_embedding.weight"
    weights[words] = weights[words][order(vocab)]
    weights |= {"visual_projection.weight": model.vision_map.weight, "text_projection.weight": model.text_map.weight,
                "logit_scale": model.scale().log()}
    theirs.load_state_dict(weights)
    return theirs.eval()


def as_text(encoder):
    """A TextEncoder without its causal mask as transformers' SiglipTextModel, with equal outputs: CLIP's blocks, but each
    word sees all. Its word i is our word order(V)[i]. What is pooled there has no meaning here."""
    from transformers import SiglipTextConfig, SiglipTextModel

    block, weights = encoder.encoder.blocks[0], names_of_text(encoder)
    (vocab, width), words = encoder.embedding.words.weight.shape, "embeddings.token_embedding.weight"
    theirs = SiglipTextModel(SiglipTextConfig(
        hidden_size=width, intermediate_size=block.think[0].out_features, num_hidden_layers=len(encoder.encoder.blocks),
        hidden_act="gelu", num_attention_heads=block.attend.num_heads, vocab_size=vocab, pad_token_id=0, bos_token_id=1,
        eos_token_id=vocab - 1, max_position_embeddings=len(encoder.embedding.places.weight), layer_norm_eps=1e-5))
    head = {f"head.{name}": torch.zeros_like(value) for name, value in theirs.head.state_dict().items()}
    theirs.load_state_dict(weights | head | {words: weights[words][order(vocab)]})
    return theirs.eval()


def tokenizer():
    """`batches.encode` as a tokenizer of transformers, with words in our `order`."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = [batches.WORDS[number] for number in order(len(batches.WORDS))]
    fast = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}))
    fast.normalizer = normalizers.Lowercase()
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("[.,?]"), "isolated")])
    fast.post_processor = processors.TemplateProcessing(
        "<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", len(words) - 1)])
    return PreTrainedTokenizerFast(tokenizer_object=fast, pad_token="<pad>", bos_token="<start>", eos_token="<end>",
                                   model_max_length=64)


def save_for_transformers(model, folder):
    """Write model, tokenizer and picture processor into a folder that transformers' pipelines open offline."""
    from transformers import CLIPImageProcessorPil

    tokenizer().save_pretrained(folder)
    side = {"height": 64, "width": 64}
    CLIPImageProcessorPil(size=side, resample=4, do_center_crop=False, crop_size=side, image_mean=[0.5] * 3,
                          image_std=[0.5] * 3).save_pretrained(folder)
    as_clip(model).save_pretrained(folder)
