"""The transport of the process, on its I/O loop: connections are shared by all stores."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

from asynctensor.kvstores._http.aiohttp_transport import AiohttpTransport, ConnectionOptions
from asynctensor.kvstores._http.fast_transport import FastTransport
from asynctensor.kvstores._http.proxies import Proxies
from asynctensor.kvstores._http.transport import Transport
from asynctensor.runtime.event_loop import at_exit
from asynctensor.runtime.process import PROCESS

_NAME = "http transport"


@dataclass(frozen=True, slots=True)
class _Shared:
    loop: asyncio.AbstractEventLoop
    transport: Transport


def shared_transport() -> Transport:
    """The transport of the running loop, which is the I/O loop; the runtime closes it.

    It heeds ``HTTP_PROXY`` and its like; with ``ASYNCTENSOR_FAST_HTTP=0`` aiohttp does everything.
    """
    loop = asyncio.get_running_loop()
    found = PROCESS.shared.get(_NAME)
    if isinstance(found, _Shared) and found.loop is loop:
        return found.transport
    options = ConnectionOptions(proxies=Proxies.of_environment())
    patient = AiohttpTransport(options)
    at_exit(patient.close)
    transport: Transport = patient
    if os.environ.get("ASYNCTENSOR_FAST_HTTP") != "0":
        transport = fast = FastTransport(patient, options)
        at_exit(fast.close)
    PROCESS.shared[_NAME] = _Shared(loop, transport)
    return transport
