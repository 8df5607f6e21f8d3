"""Pod networks, service rules and their nftables sync, cluster DNS."""
