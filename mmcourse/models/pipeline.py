"""The pipeline that `save_for_diffusers` (text2image.py) puts beside the weights. It needs torch and diffusers alone."""

import torch
from diffusers import DiffusionPipeline
from diffusers.utils.torch_utils import randn_tensor


class Text2ImagePipeline(DiffusionPipeline):
    """A text encoder (SigLIP's), a PixArt transformer that predicts the picture, and straight steps (flow matching)."""

    def __init__(self, transformer, text_encoder, tokenizer, scheduler):
        super().__init__()
        self.register_modules(transformer=transformer, text_encoder=text_encoder, tokenizer=tokenizer, scheduler=scheduler)

    def read(self, sentences):
        """Sentences -> what the transformer reads (B, T, D) and which of it are words (B, T)."""
        words = self.tokenizer(sentences, padding=True, return_tensors="pt").to(self.device)
        return self.text_encoder(words.input_ids, words.attention_mask).last_hidden_state, words.attention_mask

    @torch.no_grad()
    def __call__(self, prompt, num_inference_steps=20, guidance_scale=1.0, negative_prompt="", generator=None):
        """PIL images of one sentence or a list. generator: one, or one for each sentence."""
        prompts, guided = [prompt] if isinstance(prompt, str) else list(prompt), guidance_scale != 1
        context, mask = self.read(prompts + guided * [negative_prompt] * len(prompts))
        size = self.transformer.config.sample_size
        x = randn_tensor((len(prompts), 3, size, size), generator=generator, device=self.device)
        self.scheduler.set_timesteps(sigmas=torch.linspace(1, 0, num_inference_steps + 1)[:-1].tolist(), device=self.device)
        for t in self.progress_bar(self.scheduler.timesteps):
            times = t.expand(len(context))
            picture = self.transformer(x.repeat(1 + guided, 1, 1, 1), context, times, encoder_attention_mask=mask).sample
            if guided:
                wanted, unwanted = picture.chunk(2)
                picture = unwanted + guidance_scale * (wanted - unwanted)
            x = self.scheduler.step((x - picture) / (t / 1000), t, x).prev_sample
        return self.numpy_to_pil(((x.clamp(-1, 1) + 1) / 2).permute(0, 2, 3, 1).cpu().numpy())
