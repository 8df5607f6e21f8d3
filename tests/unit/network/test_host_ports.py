"""hostPorts as packet rules."""

from kaa.network.host_ports import Mapping, element_lines, mappings_of

CONFIG = {
    "port_mappings": [
        {"protocol": "TCP", "container_port": 80, "host_port": 8080, "host_ip": "127.0.0.1"},
        {"protocol": "UDP", "container_port": 53, "host_port": 5353, "host_ip": "0.0.0.0"},
        {"protocol": "TCP", "container_port": 81},
        {"protocol": "TCP", "container_port": 82, "host_port": 82, "host_ip": "::1"},
    ]
}
BOUND, UNBOUND = Mapping("tcp", "127.0.0.1", 8080, 80), Mapping("udp", "", 5353, 53)


def test_only_host_ports_of_ipv4_are_mapped() -> None:
    """A container port alone asks for nothing; 0.0.0.0 is every address; the node has no IPv6."""
    assert mappings_of(CONFIG) == (BOUND, UNBOUND)
    assert mappings_of({}) == ()


def test_a_bound_port_is_looked_up_with_its_address() -> None:
    """Two pods may have one port on different addresses of the node."""
    assert element_lines("add", [BOUND, UNBOUND], "10.244.0.7") == [
        "add element ip kaa-host-ports hairpin { 10.244.0.7 . 10.244.0.7 }",
        "add element ip kaa-host-ports bound { 127.0.0.1 . tcp . 8080 : 10.244.0.7 . 80 }",
        "add element ip kaa-host-ports unbound { udp . 5353 : 10.244.0.7 . 53 }",
    ]
    assert element_lines("delete", [UNBOUND], "10.244.0.7") == [
        "delete element ip kaa-host-ports hairpin { 10.244.0.7 . 10.244.0.7 }",
        "delete element ip kaa-host-ports unbound { udp . 5353 }",
    ]


def test_what_is_kept_for_the_next_agent_reads_the_same() -> None:
    """The lines in a sandbox's file are all that is known of its ports after a restart."""
    assert [Mapping.parse(str(m)) for m in (BOUND, UNBOUND)] == [BOUND, UNBOUND]


def test_only_some_ports_answer_loopback_addresses() -> None:
    """An interface takes them seriously only where it must: it is a door to what listens on 127.0.0.1."""
    assert BOUND.answers_loopback
    assert UNBOUND.answers_loopback
    assert not Mapping("tcp", "172.30.0.2", 80, 80).answers_loopback
