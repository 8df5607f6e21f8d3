"""Options that components share."""

import subprocess
import sys

import click
import pytest

from kaa.cli.options import UnixSocket, own_address


def test_a_node_without_a_way_out_is_asked_for_its_address() -> None:
    """In a network namespace without routes there is no address to guess: the message says which option to give."""
    program = "from kaa.cli.options import own_address; own_address()"
    inside = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c", program]
    done = subprocess.run(inside, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "give its address with --node-ip" in done.stderr


def test_the_address_is_one_that_this_machine_has() -> None:
    """Whoever has a way out is known by the address that it leaves from; looking it up sends nothing."""
    try:
        address = own_address()
    except click.UsageError:
        return  # no way out here: the other test's case
    listed = subprocess.run(["ip", "-brief", "address"], capture_output=True, text=True, check=True).stdout
    assert f" {address}/" in listed


def test_only_unix_sockets_are_endpoints() -> None:
    """CRI is served at a path: a TCP address is a mistake, said at once."""
    option = UnixSocket()
    assert str(option.convert("unix:///run/cri.sock", None, None)) == "/run/cri.sock"
    with pytest.raises(click.BadParameter, match="must be unix:///PATH"):
        option.convert("tcp://127.0.0.1:1", None, None)
