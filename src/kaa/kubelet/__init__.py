"""Pod actions and status (pure), loop, probes, volumes, and the kubelet's HTTP server."""
