"""The `kaa` command."""

import click


@click.group()
def main() -> None:
    """Kubernetes in Python: a real cluster on one machine."""
