"""A revisioned log of keys and bytes, in etcd's model: memory, sqlite and etcd."""
