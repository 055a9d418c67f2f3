"""A small variational autoencoder: pictures as a twelfth of their numbers, for latent diffusion (lesson 34)."""

import torch
from torch import nn


class VAE(nn.Module):
    """Pictures (B, 3, H, W) <-> latents (B, 4, H / 4, W / 4) (Kingma and Welling 2014; Rombach et al. 2022).

    encode gives mean and log-variance, decode pictures. Latents have any scale: see `scale_factor`.
    """

    def __init__(self, width=32):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1), nn.SiLU(), nn.Conv2d(width, 2 * width, 3, 2, 1), nn.SiLU(),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1), nn.SiLU(), nn.Conv2d(2 * width, 8, 1))
        self.decoder = nn.Sequential(
            nn.Conv2d(4, 2 * width, 3, 1, 1), nn.SiLU(), nn.Conv2d(2 * width, 2 * width, 3, 1, 1), nn.SiLU(),
            nn.Conv2d(2 * width, 4 * width, 1), nn.PixelShuffle(2), nn.Conv2d(width, width, 3, 1, 1), nn.SiLU(),
            nn.Conv2d(width, 12, 3, 1, 1), nn.PixelShuffle(2))

    def encode(self, pictures):
        return self.encoder(pictures).chunk(2, 1)

    def decode(self, latents):
        return self.decoder(latents)


def vae_loss(model, pictures, weight=1e-4):
    """How far the picture comes back, and how far its latents are from standard noise (a little of it)."""
    mean, log_variance = model.encode(pictures)
    back = model.decode(mean + (log_variance / 2).exp() * torch.randn_like(mean))
    distance = (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2
    return (back - pictures).square().mean() + weight * distance


@torch.no_grad()
def scale_factor(model, pictures):
    """1 / the standard deviation of the latents: times this, they are as wide as the noise that they will meet."""
    return (1 / model.encode(pictures)[0].std()).item()
