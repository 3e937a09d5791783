"""The emoji world: small scenes with prompts in GenEval's wording, rendered from Noto emoji."""
