"""Pod networks, service rules (pure) and their nftables sync, cluster DNS.

A node routes; it bridges nothing. Each pod has a veth whose other end is in the node's namespace, a /32 address from
the node's pod range, and the node as its only neighbour, so every packet between pods passes the node's IP layer, where
nftables translates service addresses in both directions.
"""
