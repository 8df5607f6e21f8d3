"""Why a container could not be started: raised where it is found, shown as the container's waiting reason."""

from datetime import datetime


class StartFailure(Exception):
    """`reason` is what `kubectl get pods` shows, e.g. ErrImagePull. `retry_at` None: at the next sync."""

    def __init__(self, reason: str, message: str, retry_at: datetime | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_at = retry_at
