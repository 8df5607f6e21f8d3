"""Sockets that live in the host's network namespace, for a process inside a node's.

A socket belongs to the namespace of the thread that made it, and stays there; whoever holds it may use it anywhere.
"""

import os
import socket
import threading
from collections.abc import Callable

from kaa.cri.linux import libc


def outside_socket(netns_path: str) -> Callable[[int], socket.socket]:
    """A maker of IPv4 sockets of a type (SOCK_DGRAM, SOCK_STREAM) in that namespace. Blocks for a moment."""

    def make(kind: int) -> socket.socket:
        made: list[socket.socket | OSError] = []

        def in_namespace() -> None:
            try:
                fd = os.open(netns_path, os.O_RDONLY)
                try:
                    libc.setns(fd)
                finally:
                    os.close(fd)
                made.append(socket.socket(socket.AF_INET, kind))
            except OSError as error:
                made.append(error)

        # A thread of its own, which ends here: one of a pool would carry the namespace to its next user.
        thread = threading.Thread(target=in_namespace)
        thread.start()
        thread.join()
        (result,) = made
        if isinstance(result, OSError):
            raise result
        return result

    return make
