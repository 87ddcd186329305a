"""Connections that were made in a block are kept alive, and end every wait when they are cut."""

import socket
import threading

from radenhance.strategies.connections import Connections


def connected():
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = socket.create_connection(server.getsockname())
        return here, server.accept()[0]


def test_a_wait_for_data_ends_when_its_connection_is_cut():
    other = connected()
    connections = Connections()
    with connections.noted():
        here, there = connected()
    assert here.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert not other[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    received = []
    waiting = threading.Thread(target=lambda: received.append(here.recv(1)))
    waiting.start()
    connections.cut()
    waiting.join(10)
    assert received == [b""]
    other[0].sendall(b"x")
    assert other[1].recv(1) == b"x"  # it was there before
    for one in (*other, here, there):
        one.close()
