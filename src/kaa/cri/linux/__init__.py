"""One kernel facility a file: namespaces, mounts, cgroups, processes."""
