"""Which images to remove when the disk fills up: those unused the longest, until enough is free. Pure.

Above 85 % of the disk used images are removed until 80 % would be; an image that a container uses, or that is pinned,
or younger than two minutes stays.
"""

from collections.abc import Iterable, Mapping, Set
from datetime import datetime, timedelta

from kaa.cri.cri import Message

HIGH_SHARE, LOW_SHARE = 0.85, 0.80
MIN_AGE = timedelta(minutes=2)
CHECK_SECONDS = 300.0


def images_to_remove(
    images: Iterable[Message],
    in_use: Set[str],
    last_used: Mapping[str, datetime],
    disk_bytes: int,
    available_bytes: int,
    now: datetime,
) -> list[str]:
    """Ids, the longest unused first. `last_used` is when an image was first seen or last in use."""
    used_bytes = disk_bytes - available_bytes
    if not disk_bytes or used_bytes < disk_bytes * HIGH_SHARE:
        return []
    wanted_bytes = used_bytes - int(disk_bytes * LOW_SHARE)
    candidates = [
        image
        for image in images
        if image["id"] not in in_use and not image.get("pinned") and now - last_used.get(image["id"], now) >= MIN_AGE
    ]
    removed = []
    for image in sorted(candidates, key=lambda image: last_used[image["id"]]):
        if wanted_bytes <= 0:
            break
        removed.append(image["id"])
        wanted_bytes -= image.get("size", 0)
    return removed
