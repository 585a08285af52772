"""A models.yaml entry written from a checkpoint: a local folder, or a repository on the hub.

Its numbers are read, not guessed: shapes and bytes out of the headers of the safetensors files,
the rest out of config.json and the tokenizer's files. What is not understood is refused, as a
wrong entry makes a wrong plan.
"""

from evalpack.checkpoint.add import add_model

__all__ = ["add_model"]
