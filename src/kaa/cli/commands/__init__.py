"""The commands of `kaa`, in the order of its help. Each module has one `command`."""

COMMANDS = {
    "up": "up",
    "stop": "stop",
    "down": "down",
    "status": "status",
    "list": "list",
    "kubeconfig": "kubeconfig",
    "kubectl": "kubectl",
    "image": "image",
    "snapshot": "snapshot",
    "logs": "logs",
    "record": "record",
    "replay": "replay",
    "explain": "explain",
    "apiserver": "apiserver",
    "controller-manager": "controller_manager",
    "scheduler": "scheduler",
    "kubelet": "kubelet",
    "proxy": "proxy",
    "dns": "dns",
    "runtime": "runtime",
}
"""Command -> module of this package."""
