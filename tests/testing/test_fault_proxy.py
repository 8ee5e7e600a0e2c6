"""What a `FaultProxy` leaves behind: nothing."""

from __future__ import annotations

import contextlib
import gc
import socket
import warnings

from asynctensor.testing.fault_proxy import FaultProxy


def test_clients_that_come_while_it_stops_are_reset_and_closed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for round_ in range(40):
            clients = [socket.socket() for _ in range(6)]
            for client in clients:
                client.setblocking(False)
            with FaultProxy("127.0.0.1", 9) as proxy:
                for client in clients[: round_ % 7]:
                    with contextlib.suppress(BlockingIOError):
                        client.connect((proxy.host, proxy.port))
            for client in clients:
                client.close()
        gc.collect()
    assert [str(each.message) for each in seen] == []
