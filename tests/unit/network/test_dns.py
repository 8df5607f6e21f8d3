"""Names of the cluster's zone, and the bytes of DNS."""

import struct
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.network.dns_message import (
    AAAA,
    CNAME,
    PTR,
    SRV,
    A,
    MalformedMessage,
    Record,
    address_records,
    answer,
    encode_name,
    parse_query,
)
from kaa.network.dns_zone import Answer, resolve

DOMAIN = "cluster.local"


class World:
    """A Lookup over a few objects."""

    services = {
        "web": {"clusterIP": "10.96.0.7", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
        "db": {"clusterIP": "None", "ports": [{"name": "sql", "port": 5432}]},
        "far": {"type": "ExternalName", "externalName": "example.com"},
    }
    slice = {
        "metadata": {"name": "db-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4",
        "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": ["10.244.0.5"], "hostname": "db-0", "conditions": {"ready": True}},
            {"addresses": ["10.244.0.6"], "conditions": {"ready": True}},
            {"addresses": ["10.244.0.7"], "conditions": {"ready": False}},
        ],
    }

    def service(self, namespace: str, name: str) -> dict[str, Any] | None:
        if namespace != "shop" or name not in self.services:
            return None
        return {"metadata": {"name": name, "namespace": "shop"}, "spec": self.services[name]}

    def slices(self, namespace: str, service: str) -> Iterable[dict[str, Any]]:
        return [self.slice] if (namespace, service) == ("shop", "db") else []

    def namespace_exists(self, name: str) -> bool:
        return name == "shop"

    def services_at(self, address: str) -> Iterable[dict[str, Any]]:
        return [s for n in self.services if (s := self.service("shop", n)) and s["spec"].get("clusterIP") == address]

    def slices_at(self, address: str) -> Iterable[dict[str, Any]]:
        return [self.slice] if any(address in e["addresses"] for e in self.slice["endpoints"]) else []


def ask(name: str, kind: int = A) -> Answer:
    found = resolve(name, kind, DOMAIN, World())
    assert found is not None
    return found


def addresses(found: Answer) -> list[str]:
    return [".".join(map(str, record.data)) for record in found.records]


def test_a_service_has_its_cluster_ip_and_a_headless_one_its_ready_endpoints() -> None:
    """The two answers that every application depends on."""
    assert addresses(ask("web.shop.svc.cluster.local")) == ["10.96.0.7"]
    assert addresses(ask("db.shop.svc.cluster.local")) == ["10.244.0.5", "10.244.0.6"]


def test_an_endpoint_of_a_headless_service_has_a_name() -> None:
    """StatefulSets find each other by it; without a hostname it is the address with dashes."""
    assert addresses(ask("db-0.db.shop.svc.cluster.local")) == ["10.244.0.5"]
    assert addresses(ask("10-244-0-6.db.shop.svc.cluster.local")) == ["10.244.0.6"]
    assert not ask("nobody.db.shop.svc.cluster.local").exists


def test_no_data_is_not_no_such_name() -> None:
    """Resolvers give up on a name that does not exist, but ask on when only the type is missing (A after AAAA)."""
    assert ask("web.shop.svc.cluster.local", AAAA) == Answer()
    assert ask("shop.svc.cluster.local").exists
    assert not ask("web.elsewhere.svc.cluster.local").exists
    assert not ask("nothing.shop.svc.cluster.local", AAAA).exists


def test_srv_records_name_port_and_target() -> None:
    """`_http._tcp` of a service leads to its cluster IP's name; of a headless one to each endpoint's."""
    (record,) = ask("_http._tcp.web.shop.svc.cluster.local", SRV).records
    assert record.data[4:] == struct.pack("!H", 80) + encode_name("web.shop.svc.cluster.local")
    assert len(ask("_sql._tcp.db.shop.svc.cluster.local", SRV).records) == 2
    assert not ask("_sql._udp.db.shop.svc.cluster.local", SRV).exists


def test_external_name_is_an_alias_and_asked_outside() -> None:
    """A CNAME alone makes simple resolvers fail, so its target is to be asked for as well."""
    found = ask("far.shop.svc.cluster.local")
    assert [r.type for r in found.records] == [CNAME]
    assert found.forward == "example.com"


def test_reverse_names_and_pod_names() -> None:
    """PTR for cluster IPs and headless endpoints, and nothing for addresses that are not the cluster's."""
    (record,) = ask("7.0.96.10.in-addr.arpa", PTR).records
    assert record.data == encode_name("web.shop.svc.cluster.local")
    (record,) = ask("5.0.244.10.in-addr.arpa", PTR).records
    assert record.data == encode_name("db-0.db.shop.svc.cluster.local")
    assert resolve("1.1.1.1.in-addr.arpa", PTR, DOMAIN, World()) is None
    assert addresses(ask("10-1-2-3.shop.pod.cluster.local")) == ["10.1.2.3"]
    assert not ask("10-1-2-999.shop.pod.cluster.local").exists


def question(name: str, kind: int, identifier: int = 7) -> bytes:
    return struct.pack("!6H", identifier, 0x0100, 1, 0, 0, 0) + encode_name(name) + struct.pack("!2H", kind, 1)


def test_an_answer_too_long_for_udp_is_marked_truncated() -> None:
    """The client then asks again over TCP; half an answer would be worse."""
    query = parse_query(question("db.shop.svc.cluster.local", A))
    records = ask("db.shop.svc.cluster.local").records * 40
    short = answer(query, 0, records, [], recursion=False, limit_bytes=512)
    assert struct.unpack_from("!6H", short)[1] & 0x0200
    whole = answer(query, 0, records, [], recursion=False, limit_bytes=65535)
    assert struct.unpack_from("!6H", whole)[3] == 80


@given(st.binary(max_size=300))
def test_no_bytes_break_the_parser(message: bytes) -> None:
    """Anyone in a pod can send anything to port 53."""
    try:
        parse_query(message)
    except MalformedMessage:
        return


@given(st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z0-9-]{1,20}){0,6}", fullmatch=True), st.integers(1, 255))
def test_a_question_is_read_as_it_was_written(name: str, kind: int) -> None:
    """Round trip of names and types."""
    query = parse_query(question(name, kind, 99))
    assert (query.id, query.name, query.type, query.udp_bytes) == (99, name, kind, 512)


def test_a_name_that_points_at_itself_is_refused() -> None:
    """Compression in a question is how parsers are made to loop."""
    with pytest.raises(MalformedMessage):
        parse_query(struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c" + struct.pack("!2H", 1, 1))


def test_addresses_are_read_from_a_compressed_reply() -> None:
    """What a real resolver sends: every name after the first is a pointer."""
    query = parse_query(question("far.example.com", A))
    records = [
        Record("far.example.com", CNAME, 60, encode_name("a.example.com")),
        Record("a.example.com", A, 60, b"1234"),
    ]
    reply = answer(query, 0, records, [], recursion=True, limit_bytes=512)
    assert address_records(reply) == records
    with pytest.raises(MalformedMessage):
        address_records(reply[:-12])
    with pytest.raises(MalformedMessage):
        address_records(struct.pack("!6H", 1, 0x8000, 0, 1, 0, 0) + b"\xc0\x0c")
