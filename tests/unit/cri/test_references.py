"""Image references, normalised as docker does."""

import pytest

from kaa.cri.references import is_image_id, parse_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("me/app", "docker.io/me/app:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/a/b:c", "localhost:5000/a/b:c"),
        ("127.0.0.1:5000/app", "127.0.0.1:5000/app:latest"),
        (f"app:tag@{DIGEST}", f"docker.io/library/app@{DIGEST}"),
        ("UPPER/app", "UPPER/app:latest"),
    ],
)
def test_short_names_become_whole(text: str, normal: str) -> None:
    """Protects that one image has one name, however a pod writes it; and that a whole name stays as it is."""
    assert str(parse_reference(text)) == normal
    assert str(parse_reference(normal)) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "docker.io/App",
        "app:",
        "app@sha256:12",
        "/app",
        "app/",
        "a//b",
        "../a",
        "app:ta/g",
        f"a@{DIGEST}x",
        "-a",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    """Protects the registry's URL and our file names from what a pod may say."""
    with pytest.raises(ValueError, match="invalid reference format"):
        parse_reference(text)


def test_ids_are_told_from_names() -> None:
    """Protects looking an image up by its id, with or without the algorithm."""
    assert is_image_id(DIGEST)
    assert is_image_id("a" * 64)
    assert not is_image_id("a" * 63)
    assert not is_image_id("busybox")
