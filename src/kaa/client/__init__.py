"""Kubeconfig, transports, REST, informer caches, events, leader election."""
