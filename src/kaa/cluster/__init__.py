"""A cluster on one machine: certificates, host network, nodes as namespaces, supervised processes.

Bringing up and taking down are both idempotent and work from what is on the machine, not from memory: `down` after a
`kill -9` of everything finds the same names that `up` gave.
"""
