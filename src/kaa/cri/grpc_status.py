"""What CRI's server and client share of gRPC: its status names."""

from grpclib.const import Status

STATUS_OF_NAME = {"".join(part.capitalize() for part in status.name.split("_")): status for status in Status}
"""`NotFound` -> Status.NOT_FOUND: how `RuntimeFault.code` says it."""

NAME_OF_STATUS = {status: name for name, status in STATUS_OF_NAME.items()}
