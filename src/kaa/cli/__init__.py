"""The `kaa` command."""
