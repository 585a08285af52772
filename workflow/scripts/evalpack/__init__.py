"""evalpack: evaluate many language models on one sample set with a fixed pool of GPUs.

Importing this package pulls in neither torch nor vLLM.
"""

__version__ = "0.1.0"
