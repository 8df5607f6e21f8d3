"""Lists and watches that carry only metadata, for whoever needs every object of every kind but not what is in it.

The client asks for PartialObjectMetadata; a server without that form answers with whole objects, which do as well.
"""

from kaa.client.rest import Client
from kaa.client.with_headers import WithHeaders

LIST_FORM = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
WATCH_FORM = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"


def metadata_client(client: Client) -> Client:
    """For a cache only: it takes every `request` for a list, and every `stream` for a watch."""
    return Client(WithHeaders(client.transport, {"accept": LIST_FORM}, {"accept": WATCH_FORM}), client.catalog)
