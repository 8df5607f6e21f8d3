"""The `kaa` command: a group whose commands are loaded when they are used, so that each starts fast."""

import importlib
import sys

import click

import kaa
from kaa.cli.commands import COMMANDS
from kaa.cluster.spec import ClusterError


class _Commands(click.Group):
    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = importlib.import_module(f"kaa.cli.commands.{COMMANDS[name]}").command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(kaa.__version__, message=f"kaa %(version)s (Kubernetes {kaa.KUBERNETES_VERSION})")
def cli() -> None:
    """Kubernetes in Python: a real cluster on one machine.

    `kaa up` starts one; `kaa kubectl get nodes` talks to it; `kaa down` leaves nothing behind.
    """


def main() -> None:
    """Runs the command; what a person has to put right is one line and exit code 1."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (ClusterError, OSError) as error:
        click.echo(f"kaa: {error}", err=True)
        sys.exit(1)
