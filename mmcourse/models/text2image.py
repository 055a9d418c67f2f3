"""Text to image: a sentence steers a Transformer that turns noise into its picture (lesson 34)."""

import torch
from PIL import Image
from torch import nn

from mmcourse import batches, world
from mmcourse.models.attention import causal_mask
from mmcourse.models.contrastive import TextEncoder
from mmcourse.models.dit import DiT

LEAST = 0.05                           # times below count as this much where one divides by them


class Text2Image(nn.Module):
    """A text encoder and a DiT that reads it by cross-attention and predicts the picture.

    forward(noisy (B, 3, 64, 64), t (B,), ids (B, T)) -> velocities (B, 3, 64, 64): noise - picture, along the straight
    line from picture (t = 0) to noise (t = 1) (Liu et al. 2023, Lipman et al. 2023).
    """

    def __init__(self):
        super().__init__()
        self.text = TextEncoder(len(batches.WORDS), 128, 4, 2)
        self.dit = DiT(d_context=128)
        self.align = nn.Linear(192, 128)              # for training alone: see recipes/text2image.py

    def read(self, ids):
        """Word numbers (B, T) -> a vector for each word (B, T, 128), and which of them are words (B, T)."""
        mask = causal_mask(ids.shape[1]).to(ids.device)
        return self.text.encoder(self.text.embedding(ids), mask), ids != batches.PAD

    def velocity(self, noisy, t, context, mask):
        """The way that leads from the predicted picture through the noisy one: its step per unit of time."""
        picture = self.dit(noisy, t, context, mask)
        return (noisy - picture) / t.clamp(min=LEAST)[:, None, None, None]

    def forward(self, noisy, t, ids):
        return self.velocity(noisy, t, *self.read(ids))

    def guided(self, noisy, t, wanted, unwanted, guidance):
        """Classifier-free guidance (Ho and Salimans 2022): away from `unwanted`, `guidance` times as far as to `wanted`.

        wanted and unwanted are what `read` gives; both go through the DiT as one batch.
        """
        if guidance == 1:
            return self.velocity(noisy, t, *wanted)
        context, mask = (torch.cat(both) for both in zip(wanted, unwanted))
        with_words, without = self.velocity(noisy.repeat(2, 1, 1, 1), t.repeat(2), context, mask).chunk(2)
        return without + guidance * (with_words - without)

    @torch.no_grad()
    def sample(self, noise, sentences, steps=20, guidance=2.0, negative="", start=1.0):
        """Noise (B, 3, 64, 64) -> pictures (B, 3, 64, 64), in `steps` straight steps from time `start` to 0."""
        ids, _ = batches.encode([*sentences, *[negative] * len(sentences)])
        context, mask = self.read(ids.to(noise.device))
        wanted, unwanted = zip(context.chunk(2), mask.chunk(2))
        times = torch.linspace(start, 0, steps + 1).tolist()
        x = noise
        for now, then in zip(times, times[1:]):
            t = torch.full((len(x),), now, device=x.device)
            x = x + (then - now) * self.guided(x, t, wanted, unwanted, guidance)
        return x

    def draw(self, sentences, seed=0, steps=20, guidance=2.0, negative=""):
        """A picture (PIL) of a sentence, or a list of pictures of a list of sentences; the same for the same seed."""
        said = [sentences] if isinstance(sentences, str) else list(sentences)
        for sentence in said:
            world.parse(sentence)
        noise = torch.cat([torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed + k))
                           for k in range(len(said))])
        pictures = images(self.sample(noise.to(self.dit.places.device), said, steps, guidance, negative))
        return pictures[0] if isinstance(sentences, str) else pictures


def images(x):
    """Tensors (B, 3, H, W), -1 to 1 -> PIL images."""
    pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(picture) for picture in pixels]
