# ---
# title: Modalities
# question: What does a machine get when you show it a picture, say a word or play a sound?
# minutes: 60
# level: beginner
# objectives:
#   - turn text into a tensor
# prerequisites: []
# device: Two CPU cores are enough.
# words:
#   modality: 模态
# ---

# %% [markdown]
# ## Start
# Text.
