"""A revisioned log of keys and bytes, in etcd's model: memory and sqlite."""
