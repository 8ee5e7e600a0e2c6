"""PyTorch: tensors, datasets, loaders. The extra ``asynctensor[torch]`` installs what it needs."""

from asynctensor.integrations.loading.amplification import AmplificationWarning
from asynctensor.integrations.loading.samples import Samples
from asynctensor.integrations.torch.checkpoint import CheckpointReader, CheckpointWriter
from asynctensor.integrations.torch.dataset import ArrayDataset, ArrayStream
from asynctensor.integrations.torch.loader import Loader
from asynctensor.integrations.torch.tensors import dtype_of, from_torch, to_torch

__all__ = [
    "AmplificationWarning",
    "ArrayDataset",
    "ArrayStream",
    "CheckpointReader",
    "CheckpointWriter",
    "Loader",
    "Samples",
    "dtype_of",
    "from_torch",
    "to_torch",
]
