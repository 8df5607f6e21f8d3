"""Services and DNS as pods and the host see them."""

import urllib.request

import pytest

from tests.e2e.objects import container, deployment, fetch, pod, service, shell_pod
from tests.e2e.running import RunningCluster, eventually


@pytest.fixture
def web(cluster: RunningCluster, namespace: str) -> str:
    """Two web pods behind a NodePort Service `web`, a headless one `web-headless`, and a pod `client`."""
    cluster.apply(
        deployment("web", namespace, 2),
        service("web", namespace, type="NodePort"),
        service("web-headless", namespace, app="web", clusterIP="None"),
        shell_pod("client", namespace, "sleep 3600"),
    )
    cluster.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/client", "--timeout=60s")
    return namespace


def in_client(cluster: RunningCluster, namespace: str, script: str) -> str:
    return cluster.kubectl("-n", namespace, "exec", "client", "--", "sh", "-c", script).stdout


def test_a_cluster_ip_spreads_over_all_pods(cluster: RunningCluster, web: str) -> None:
    """Connections by the Service's name reach both backends."""
    script = f"for i in $(seq 20); do {fetch('web')}; done"
    assert len(set(in_client(cluster, web, script).split())) == 2


def test_the_node_port_answers_the_host(cluster: RunningCluster, web: str) -> None:
    """From outside the node, through the node's address."""
    port = cluster.get("-n", web, "service", "web")["spec"]["ports"][0]["nodePort"]
    address = cluster.get("nodes")["items"][0]["status"]["addresses"][0]["address"]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    assert opener.open(f"http://{address}:{port}/", timeout=5).read().startswith(b"web-")


def test_a_pod_reaches_itself_through_its_service(cluster: RunningCluster, namespace: str) -> None:
    """Hairpin: the reply must be translated back although both ends are one pod."""
    cluster.apply(pod("self", namespace), service("loop", namespace, app="self"))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/self", "--timeout=60s")
    words = ["-n", namespace, "exec", "self", "--", "sh", "-c", fetch("loop")]  # "self" is its host name
    assert eventually(lambda: cluster.kubectl(*words, check=False).stdout, "itself") == "self\n"


def test_names_of_headless_services_and_of_nothing(cluster: RunningCluster, web: str) -> None:
    """All pods of a headless Service by one name; an unknown name fails at once, also outside the cluster's zone."""
    addresses = {p["status"]["podIP"] for p in cluster.get("-n", web, "pods", "-l", "app=web")["items"]}
    found = in_client(
        cluster,
        web,
        "nslookup web-headless.$(cat /var/run/secrets/kubernetes.io/serviceaccount/namespace).svc.cluster.local",
    )
    assert all(address in found for address in addresses)
    for name in ("nothing.cluster.local", "example.com"):
        assert "NXDOMAIN" in in_client(cluster, web, f"nslookup {name}; true")


def test_a_pod_reaches_the_api_server_as_its_service_account(cluster: RunningCluster, web: str) -> None:
    """The `kubernetes` Service, the CA and the token that every pod is given: nobody may do much, but is known."""
    token = in_client(cluster, web, "cat /var/run/secrets/kubernetes.io/serviceaccount/token")
    assert token.count(".") == 2
    assert "BEGIN CERTIFICATE" in in_client(cluster, web, "cat /var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
    address = in_client(cluster, web, "echo $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT").strip()
    assert address.endswith(":443")
    host = address.split(":")[0]
    assert "open" in in_client(cluster, web, f"nc -w 5 {host} 443 </dev/null && echo open")


def test_service_and_pod_ranges_never_leave_the_machine(cluster: RunningCluster, web: str) -> None:
    """An address that nobody has is refused at once instead of being sent to the default gateway."""
    for address in ("10.96.200.200", "10.244.200.200"):
        result = in_client(cluster, web, f"nc -w 5 {address} 80 </dev/null; echo code $?")
        assert "code 1" in result


def test_a_host_port_answers_where_it_was_asked_to(cluster: RunningCluster, namespace: str) -> None:
    """On every address of its node, or on the one it names: two pods may have one port on different addresses."""
    node = cluster.get("nodes")["items"][0]["status"]["addresses"][0]["address"]
    cluster.apply(
        pod("anywhere", namespace, containers=[container(ports=[{"containerPort": 8080, "hostPort": 18080}])]),
        pod(
            "at-home",
            namespace,
            containers=[container(ports=[{"containerPort": 8080, "hostPort": 18081, "hostIP": "127.0.0.1"}])],
        ),
        pod(
            "outdoors",
            namespace,
            containers=[container(ports=[{"containerPort": 8080, "hostPort": 18081, "hostIP": node}])],
        ),
        shell_pod("on-node", namespace, "sleep 3600", hostNetwork=True),
    )
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    assert opener.open(f"http://{node}:18080/", timeout=5).read() == b"anywhere\n"
    assert opener.open(f"http://{node}:18081/", timeout=5).read() == b"outdoors\n"
    words = ["-n", namespace, "exec", "on-node", "--", "sh", "-c", fetch("127.0.0.1", 18081)]
    assert cluster.kubectl(*words).stdout == "at-home\n"
