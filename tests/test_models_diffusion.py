"""The noise arithmetic of lesson 33 against diffusers' schedulers, to the last bit, and its networks against their blocks."""

import math
import re

import pytest
import torch

from mmcourse.models.diffusion import (ANYTHING, KINDS, Diffusion, Flow, KindDiT, ResBlock, UNet, cosine_betas,
                                       linear_betas)
from mmcourse.models.dit import DiTBlock

SCHEDULES = {"linear": linear_betas, "squaredcos_cap_v2": cosine_betas}
SAYS = {"noise": "epsilon", "picture": "sample", "velocity": "v_prediction"}


def three(seed=0, batch=3):
    """A picture, noise, and what a network said: random numbers."""
    return torch.randn(3, batch, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_ddpm_scheduler_to_the_last_bit(name, kind):
    from diffusers import DDPMScheduler

    ours = Diffusion(SCHEDULES[name]())
    theirs = DDPMScheduler(beta_schedule=name, prediction_type=SAYS[kind], clip_sample=False)
    torch.testing.assert_close(ours.alpha_bar, theirs.alphas_cumprod, atol=1e-6, rtol=1e-6)
    ours.alpha_bar = theirs.alphas_cumprod                  # the cosine's last bits differ by its computing in float64
    x, noise, said = three()
    t = torch.tensor([0, 500, 999])
    assert torch.equal(ours.add(x, noise, t), theirs.add_noise(x, noise, t))
    assert torch.equal(ours.velocity(x, noise, t), theirs.get_velocity(x, noise, t))
    for steps in (1000, 50):
        theirs.set_timesteps(steps)
        for now in theirs.timesteps[[0, len(theirs.timesteps) // 2, -2, -1]].tolist():
            fresh = torch.randn(x.shape, generator=torch.Generator().manual_seed(5)) if now else torch.zeros(())
            before = max(now - 1000 // steps, -1)
            picture, _ = ours.read(x, said, now, kind)
            got = ours.ddpm_step(x, picture, now, before, fresh)
            want = theirs.step(said, now, x, generator=torch.Generator().manual_seed(5))
            assert torch.equal(picture, want.pred_original_sample)
            assert torch.equal(got, want.prev_sample), (steps, now)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_equals_the_ddim_scheduler_to_the_last_bit(kind, eta):
    from diffusers import DDIMScheduler

    ours = Diffusion(linear_betas())
    theirs = DDIMScheduler(prediction_type=SAYS[kind], clip_sample=False, timestep_spacing="trailing")
    theirs.set_timesteps(20)
    assert ours.times(20) == [*theirs.timesteps.tolist(), -1]
    x, fresh, said = three(1)
    for now, before in zip(ours.times(20), ours.times(20)[1:]):
        got = ours.ddim_step(x, *ours.read(x, said, now, kind), now, before, eta, fresh)
        want = theirs.step(said, now, x, eta=eta, variance_noise=fresh).prev_sample
        assert torch.equal(got, want), now


def test_equals_the_flow_scheduler_to_the_last_bit():
    from diffusers import FlowMatchEulerDiscreteScheduler

    theirs, flow = FlowMatchEulerDiscreteScheduler(), Flow()
    x, noise, said = three(2)
    now = theirs.timesteps[[0, 400, 999]]
    assert torch.equal(flow.add(x, noise, now / 1000), theirs.scale_noise(x, now, noise))
    theirs.set_timesteps(25)
    ours = x
    for t, a, b in zip(theirs.timesteps, theirs.sigmas, theirs.sigmas[1:]):
        ours, x = flow.step(ours, said, a, b), theirs.step(said, t, x).prev_sample
        assert torch.equal(ours, x)


@pytest.mark.parametrize("path, times", [(Diffusion(linear_betas()), [3, 400, 990]), (Flow(), [0.02, 0.5, 0.97])])
def test_every_prediction_says_the_same(path, times):
    picture, noise, _ = three(3)
    for t in times:
        x = path.add(picture, noise, t)
        for kind, said in zip(KINDS, (noise, path.velocity(picture, noise, t), picture)):
            for got, want in zip(path.read(x, said, t, kind), (picture, noise)):
                torch.testing.assert_close(got, want, atol=1e-3, rtol=1e-3)


def test_one_step_of_noise_after_the_other_is_the_closed_form():
    ways = Diffusion(linear_betas(20, 0.01, 0.2))
    betas = linear_betas(20, 0.01, 0.2)
    signal, variance = 1.0, 0.0
    for beta in betas.tolist():
        signal, variance = signal * math.sqrt(1 - beta), variance * (1 - beta) + beta
    weights = ways.levels(19, torch.zeros(1))
    assert weights[0].item() == pytest.approx(signal) and weights[1].item() ** 2 == pytest.approx(variance)


def test_the_published_end_of_the_linear_schedule():
    assert Diffusion(linear_betas()).alpha_bar[-1].item() == pytest.approx(4.0358e-5, rel=1e-3)


def test_with_eta_one_ddim_is_ddpm():
    ways = Diffusion(linear_betas())
    x, noise, fresh = three(4)
    for t, before in ((999, 998), (500, 400), (20, 10)):
        picture, _ = ways.read(x, noise, t, "noise")
        torch.testing.assert_close(ways.ddim_step(x, picture, noise, t, before, 1.0, fresh),
                                   ways.ddpm_step(x, picture, t, before, fresh), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_knows_its_picture_draws_it(kind):
    picture, noise, _ = three(5)
    ways, flow = Diffusion(linear_betas()), Flow()

    def knows(path):
        def network(x, t):
            signal, sigma = path.levels(t, x)
            guess = (x - signal * picture) / sigma.clamp(min=1e-6)
            return {"noise": guess, "picture": picture, "velocity": path.velocity(picture, guess, t)}[kind]
        return network
    for eta in (0.0, 1.0):
        drawn = ways.sample(knows(ways), noise, 10, kind, eta, torch.Generator().manual_seed(0))
        torch.testing.assert_close(drawn, picture, atol=2e-2, rtol=1e-2)
    if kind != "noise":                                     # at t = 1 nothing of the picture is left to divide by
        torch.testing.assert_close(flow.sample(knows(flow), noise, 4, kind), picture, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("channels, out", [(16, 16), (16, 32)])
def test_equals_the_block_of_diffusers_unet(channels, out):
    from diffusers.models.resnet import ResnetBlock2D

    ours = ResBlock(channels, out, 24)
    theirs = ResnetBlock2D(in_channels=channels, out_channels=out, temb_channels=24, groups=8)
    names = {"time.": "time_emb_proj.", "pass_by.": "conv_shortcut."}
    weights = {re.sub("|".join(names), lambda found: names[found[0]], name): value for name, value in ours.state_dict().items()}
    theirs.load_state_dict(weights)
    x, time = torch.randn(2, channels, 8, 8), torch.randn(2, 24)
    torch.testing.assert_close(ours(x, time), theirs(x, time), atol=1e-6, rtol=1e-6)


def test_equals_the_block_of_diffusers_dit():
    from diffusers.models.attention import BasicTransformerBlock

    ours = DiTBlock(32, 4, cross=False)
    theirs = BasicTransformerBlock(32, 4, 8, norm_type="ada_norm_single", attention_bias=True, norm_elementwise_affine=False,
                                   norm_eps=1e-6, activation_fn="gelu").eval()
    names = {"steer": "scale_shift_table", "attend.query": "attn1.to_q", "attend.key": "attn1.to_k",
             "attend.value": "attn1.to_v", "attend.output": "attn1.to_out.0", "think.0": "ff.net.0.proj", "think.2": "ff.net.2"}
    torch.nn.init.normal_(ours.steer)
    weights = {re.sub("^(" + "|".join(names) + ")", lambda found: names[found[0]], name): value
               for name, value in ours.state_dict().items()}
    theirs.load_state_dict(weights)
    x, time = torch.randn(2, 9, 32), torch.randn(2, 6, 32)
    got, want = ours(x, time), theirs(x, timestep=time.flatten(1))
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("network", [UNet(16), KindDiT(32, 8, 32, 2, 1)])
def test_networks_give_pictures_and_heed_time_and_kind(network):
    for parameter in network.parameters():                  # outputs that start at zero would hide everything
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    x, t, kind = torch.randn(2, 3, 32, 32), torch.tensor([0.2, 0.7]), torch.tensor([3, ANYTHING])
    out = network(x, t, kind)
    assert out.shape == x.shape
    assert not torch.allclose(out, network(x, t.flip(0), kind)) and not torch.allclose(out, network(x, t, kind.flip(0)))
    torch.testing.assert_close(out[:1], network(x[:1], t[:1], kind[:1]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("total, steps", [(1000, 5), (500, 2)])       # where rounding fell below zero
def test_new_noise_leaves_no_nan(total, steps):
    path = Diffusion(cosine_betas(total))
    made = path.sample(lambda x, t: torch.zeros_like(x), torch.randn(2, 3, 4, 4), steps, "picture", eta=1.0)
    assert made.isfinite().all()


@pytest.mark.parametrize("call, words", [
    (lambda: Diffusion(linear_betas()).add(torch.zeros(1), torch.zeros(1), 1000), "There is no step 1000"),
    (lambda: Diffusion(linear_betas()).add(torch.zeros(1), torch.zeros(1), 0.5), "whole numbers from 0 to 999"),
    (lambda: Diffusion(linear_betas()).times(0), "1 to 1000 steps, and not 0"),
    (lambda: Diffusion(linear_betas()).times(1001), "not 1001"),
    (lambda: Flow().add(torch.zeros(1), torch.zeros(1), 1.5), "times go from 0"),
    (lambda: Flow().sample(None, torch.zeros(1), 0, "picture"), "1 step or more"),
    (lambda: Flow().sample(None, torch.zeros(1), 4, "noise"), "At time 1 all is noise"),
    (lambda: Flow().read(torch.zeros(1), torch.zeros(1), 0.5, "dog"), "cannot predict 'dog'"),
])
def test_what_cannot_be_says_so(call, words):
    with pytest.raises(ValueError, match=words):
        call()
