from pathlib import Path

import pytest

from radenhance.errors import UsageError
from radenhance.inference.nodes import Caller, Node, Tls, title_of


def test_a_node_is_named_by_title_host_and_port():
    assert Node.parse("PACS@10.0.0.5:104") == Node("PACS", "10.0.0.5", 104)
    assert Node.parse("A B@[::1]:11112") == Node("A B", "::1", 11112)


@pytest.mark.parametrize(
    "text", ["PACS", "PACS@host", "@host:104", "PACS@:104", "PACS@h:0", "P@h:x"]
)
def test_what_names_no_node_is_refused(text):
    with pytest.raises(UsageError, match=r"names no node, expected AET@HOST:PORT"):
        Node.parse(text)


@pytest.mark.parametrize("text", ["", "  ", "seventeen letters", "a\\b", "Käse"])
def test_what_is_no_title_is_refused(text):
    with pytest.raises(UsageError, match="is no AE title"):
        title_of(text)


def test_a_caller_is_known_by_title_and_where_one_is_named_by_address():
    assert Caller.parse("CR1").is_who_calls("CR1 ", "203.0.113.7")
    bound = Caller.parse("CR1@127.0.0.1")
    assert bound.is_who_calls("CR1", "::ffff:127.0.0.1")
    assert not bound.is_who_calls("CR1", "203.0.113.7")
    assert not bound.is_who_calls("cr1", "127.0.0.1")


def test_a_node_on_this_machine_is_called_from_it_alone():
    assert Node("PACS", "127.0.0.1", 104).addresses() == ("127.0.0.1", "127.0.0.1")
    assert Node("PACS", "::1", 104).addresses() == ("::1", "::1")


def test_certificates_that_cannot_be_read_are_said():
    Path("own.pem").write_text("nothing")
    for cert in ("missing.pem", "own.pem"):
        with pytest.raises(UsageError, match=r"cannot be read .*expected PEM"):
            Tls(Path(cert), Path("own.pem")).for_server()
