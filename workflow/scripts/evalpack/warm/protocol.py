"""Messages between processes of one user on one machine: JSON over a socket, and descriptors.

Sockets have no file: their names vanish with them, whatever is killed. They are Linux's abstract
ones, which anybody may connect to, so each side looks at who the other is.
"""

import contextlib
import json
import os
import secrets
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

_LARGEST = 1 << 20
_DESCRIPTORS = 4


def listen() -> tuple[socket.socket, str]:
    """A socket that others can connect to, and its address."""
    server = _socket()
    address = f"evalpack-{secrets.token_hex(16)}"
    server.bind(f"\0{address}")
    server.listen(128)
    return server, address


def connect(address: str) -> socket.socket | None:
    """A connection; None if nobody listens there, or somebody else."""
    client = _socket()
    with contextlib.suppress(OSError):
        client.connect(f"\0{address}")
        if ours(client):
            return client
    client.close()
    return None


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def ours(connection: socket.socket) -> bool:
    """Whether a process of this user is at the other end."""
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", said)[1] == os.geteuid())


def send(
    connection: socket.socket, message: Mapping[str, Any], descriptors: Sequence[int] = ()
) -> bool:
    """Send a message; False if nobody is there to read it."""
    try:
        socket.send_fds(connection, [json.dumps(message).encode()], list(descriptors))
    except OSError:
        return False
    return True


def receive(connection: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """Wait for a message and its descriptors; None when the other end is gone."""
    try:
        data, descriptors, _, _ = socket.recv_fds(connection, _LARGEST, _DESCRIPTORS)
    except OSError:
        return None, []
    return (json.loads(data) if data else None), descriptors


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGEST)
    return made
