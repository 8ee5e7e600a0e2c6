"""A port that nobody else is given while the server that is to listen on it is not there."""

from __future__ import annotations

import socket


def held_port(host: str = "127.0.0.1") -> socket.socket:
    """A socket that is bound to a free port, and does not listen; closing it lets the port go.

    Whoever asks the system for any port gets another one. A server that sets ``SO_REUSEADDR``, as
    servers do on POSIX, can listen on this one all the same; before that, connections are refused.
    """
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, 0))
    return sock
