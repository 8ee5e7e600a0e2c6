"""The transport of the process, on its I/O loop: connections are shared by all stores."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from asynctensor.kvstores._http.aiohttp_transport import AiohttpTransport, ConnectionOptions
from asynctensor.kvstores._http.proxies import Proxies
from asynctensor.kvstores._http.transport import Transport
from asynctensor.runtime.event_loop import at_exit
from asynctensor.runtime.process import PROCESS

_NAME = "http transport"


@dataclass(frozen=True, slots=True)
class _Shared:
    loop: asyncio.AbstractEventLoop
    transport: AiohttpTransport


def shared_transport() -> Transport:
    """The transport of the running loop, which is the I/O loop; the runtime closes it."""
    loop = asyncio.get_running_loop()
    found = PROCESS.shared.get(_NAME)
    if isinstance(found, _Shared) and found.loop is loop:
        return found.transport
    made = _Shared(loop, AiohttpTransport(ConnectionOptions(proxies=Proxies.of_environment())))
    PROCESS.shared[_NAME] = made
    at_exit(made.transport.close)
    return made.transport
