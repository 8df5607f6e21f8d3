"""Objects that several tests deploy."""

from typing import Any

from tests.e2e.running import IMAGE


def container(**more: Any) -> dict[str, Any]:
    """A busybox web server on port 8080 that answers any path with its pod's name."""
    script = "mkdir -p /srv && hostname > /srv/index.html && exec httpd -f -p 8080 -h /srv"
    return {"name": "web", "image": IMAGE, "command": ["sh", "-c", script], **more}


def fetch(host: str, port: int = 80) -> str:
    """A shell command that prints the page at an address. (Debian's static busybox has a wget that crashes.)"""
    return f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {host} {port} | tail -n 1"


def pod(name: str, namespace: str, *, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container()], **spec},
    }


def shell_pod(name: str, namespace: str, script: str, **spec: Any) -> dict[str, Any]:
    """A pod that runs a shell script, with a short grace period."""
    return pod(name, namespace, **{"containers": [container(command=["sh", "-c", script])], **spec})


def deployment(name: str, namespace: str, replicas: int, **more: Any) -> dict[str, Any]:
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container(**more)]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def service(name: str, namespace: str, app: str | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": app or name}, "ports": [{"port": 80, "targetPort": 8080}], **spec},
    }
