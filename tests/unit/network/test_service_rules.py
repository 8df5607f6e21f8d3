"""Which backends a Service's frontends lead to on a node."""

from typing import Any

from kaa.network.nftables import script_for
from kaa.network.service_rules import Backend, Frontend, Ruleset, rules_for

NODE = "here"
CLUSTER_IP = Frontend("10.96.0.7", "tcp", 80)
NODE_PORT = Frontend("", "tcp", 30080)


def service(**spec: Any) -> dict[str, Any]:
    port = {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP", "nodePort": 30080}
    base = {"type": "NodePort", "clusterIP": "10.96.0.7", "ports": [port]}
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": {**base, **spec}}


def endpoint(address: str, node: str = NODE, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "nodeName": node, "conditions": {"ready": True, **conditions}}


def slice_of(*endpoints: dict[str, Any], port: str = "http") -> dict[str, Any]:
    return {
        "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": port, "port": 8080, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


def addresses(ruleset: Ruleset, frontend: Frontend) -> list[str]:
    return [backend.address for backend in ruleset.frontends[frontend].backends]


def test_a_cluster_ip_leads_to_the_ready_endpoints() -> None:
    """The heart of a Service: an endpoint that is not ready gets no traffic."""
    rules = rules_for([service()], [slice_of(endpoint("10.0.0.1"), endpoint("10.0.0.2", ready=False))], NODE)
    assert rules.frontends[CLUSTER_IP].backends == (Backend("10.0.0.1", 8080),)
    assert rules.frontends[NODE_PORT].masquerade == "always"


def test_terminating_endpoints_serve_only_when_none_is_ready() -> None:
    """KEP-1669: a rollout's last old pod keeps answering rather than nobody."""
    leaving = endpoint("10.0.0.2", ready=False, serving=True, terminating=True)
    assert addresses(rules_for([service()], [slice_of(leaving)], NODE), CLUSTER_IP) == ["10.0.0.2"]
    both = rules_for([service()], [slice_of(leaving, endpoint("10.0.0.1"))], NODE)
    assert addresses(both, CLUSTER_IP) == ["10.0.0.1"]


def test_external_policy_local_keeps_the_client_and_this_nodes_endpoints() -> None:
    """The client's address must survive, so only local pods may answer; with none here packets are dropped."""
    slices = [slice_of(endpoint("10.0.0.1"), endpoint("10.0.1.1", node="there"))]
    local = service(externalTrafficPolicy="Local")
    rules = rules_for([local], slices, NODE)
    assert addresses(rules, NODE_PORT) == ["10.0.0.1"]
    assert rules.frontends[NODE_PORT].masquerade == "never"
    assert addresses(rules, CLUSTER_IP) == ["10.0.0.1", "10.0.1.1"]
    elsewhere = rules_for([local], [slice_of(endpoint("10.0.1.1", node="there"))], NODE)
    assert elsewhere.frontends[NODE_PORT].drop


def test_internal_policy_local_never_leaves_the_node() -> None:
    """internalTrafficPolicy Local has no fallback, unlike a preference for the same node."""
    slices = [slice_of(endpoint("10.0.1.1", node="there"))]
    assert addresses(rules_for([service(internalTrafficPolicy="Local")], slices, NODE), CLUSTER_IP) == []
    preferred = rules_for([service(trafficDistribution="PreferSameNode")], slices, NODE)
    assert addresses(preferred, CLUSTER_IP) == ["10.0.1.1"]


def test_ports_are_matched_by_name() -> None:
    """A slice may carry other ports of the same pods."""
    rules = rules_for([service()], [slice_of(endpoint("10.0.0.1"), port="metrics")], NODE)
    assert addresses(rules, CLUSTER_IP) == []


def test_headless_and_external_name_services_have_no_frontends() -> None:
    """They are DNS' business only."""
    services = [service(clusterIP="None"), service(type="ExternalName", clusterIP="")]
    assert rules_for(services, [slice_of(endpoint("10.0.0.1"))], NODE).frontends == {}


def test_nothing_changed_means_no_script_and_a_change_touches_only_its_service() -> None:
    """Writing rules must cost what changes, not what exists."""
    other = service()
    other["metadata"]["name"], other["spec"]["clusterIP"] = "other", "10.96.0.8"
    other["spec"]["ports"][0]["nodePort"] = 30081
    before = rules_for([service(), other], [slice_of(endpoint("10.0.0.1"))], NODE)
    assert script_for(before, before, "10.0.0.0/8") == ""
    after = rules_for([service(), other], [slice_of(endpoint("10.0.0.1"), endpoint("10.0.0.2"))], NODE)
    script = script_for(before, after, "10.0.0.0/8")
    assert "10.96.0.7 . tcp . 80 : goto svc-" in script
    assert "10.96.0.8" not in script
    back = script_for(after, before, "10.0.0.0/8")
    assert back.count("delete chain") == script.count("delete chain") == 2
