"""`ArrayNode`: a source of batches for `torchdata.nodes`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torchdata.nodes import BaseNode

from asynctensor.integrations.torch.loader import Loader


class ArrayNode(BaseNode[Any]):
    """The batches of a `Loader` as a node, which reads ahead without threads or processes.

    ::

        node = ArrayNode(Loader(samples, 64, shuffle=True, ahead=4))
        for batch in torchdata.nodes.Loader(node): ...

    Each pass is an epoch. Its state is the loader's.
    """

    def __init__(self, loader: Loader) -> None:
        """A node of a loader, which nothing else iterates meanwhile."""
        super().__init__()
        self._loader = loader
        self._batches: Iterator[Any] = iter(())

    def reset(self, initial_state: dict[str, Any] | None = None) -> None:
        """Begins an epoch, or goes on with one from a state.

        Raises:
            InvalidArgument: This is no such state.
            FailedPrecondition: It is one of other data, or of another order.
        """
        super().reset(initial_state)
        if initial_state is not None:
            self._loader.load_state_dict(initial_state)
        self._batches = iter(self._loader)

    def next(self) -> Any:
        """The next batch; `StopIteration` at the end of the epoch."""
        return next(self._batches)

    def get_state(self) -> dict[str, Any]:
        """How far it is."""
        return self._loader.state_dict()
