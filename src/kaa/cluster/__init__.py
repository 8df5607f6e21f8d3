"""Certificates, bootstrap objects, supervised processes, the node as a namespace."""
