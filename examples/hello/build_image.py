"""Makes the sample's image on the spot: this machine's static busybox and a link for each of its commands.

    python examples/hello/build_image.py hello.tar
    kaa image load hello.tar

No registry is asked, and nothing is downloaded.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from kaa.cri.archive import write_oci_archive

NAME = "kaa-hello:1.0"
CONFIG = {"Entrypoint": ["/bin/httpd", "-f"], "Env": ["PATH=/bin"], "ExposedPorts": {"8080/tcp": {}}}


def lay_out(root: Path) -> None:
    """The image's files: /bin/busybox, its commands as links to it, and the few files programs look for."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise SystemExit("busybox is missing; install it with: apt-get install -y busybox-static")
    for directory in ("bin", "etc", "tmp", "www", "root"):
        (root / directory).mkdir()
    (root / "tmp").chmod(0o1777)
    shutil.copy(busybox, root / "bin/busybox")
    for command in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if command != "busybox":
            (root / "bin" / command).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")


def build(target: Path) -> None:
    """Writes the image as an OCI archive."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        root.chmod(0o755)
        lay_out(root)
        write_oci_archive(target, NAME, root, CONFIG)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
