"""clusterTrustBundle: the authorities of one bundle, or of all of a signer's that a selector takes, as one PEM file.

Every certificate is in the file once, without what people write between the blocks. Their order means nothing; they
are sorted, so that the file changes only with what is in it.
"""

from kaa.api.objects import Object
from kaa.api.selectors import selector_of
from kaa.kubelet.volumes.volume import Request, VolumeFault
from kaa.lib import pem

KIND = "ClusterTrustBundle"


async def trust_anchors(request: Request, source: Object) -> bytes:
    """Empty if there is no such bundle and the source is optional. Raises VolumeFault, APIError, TransportError."""
    bundles = await _named(request, source) if source.get("name") else await _signers(request, source)
    if not bundles and not source.get("optional"):
        raise VolumeFault(_missing(source))
    certificates = {b.data for bundle in bundles for b in pem.blocks(bundle["spec"].get("trustBundle", ""))}
    return "".join(pem.encode(pem.Block("CERTIFICATE", data)) for data in sorted(certificates)).encode()


async def _named(request: Request, source: Object) -> list[Object]:
    found = await request.objects.get(KIND, "", source["name"])
    return [found] if found is not None else []


async def _signers(request: Request, source: Object) -> list[Object]:
    selector = selector_of(source.get("labelSelector"))  # without one nothing is taken; an empty one takes all
    if source.get("labelSelector") is None:
        return []
    chosen = await request.client.list(
        KIND, label_selector=str(selector), field_selector=f"spec.signerName={source['signerName']}"
    )
    return chosen.items


def _missing(source: Object) -> str:
    if source.get("name"):
        return f'clustertrustbundle "{source["name"]}" not found'
    return f'no ClusterTrustBundle of signer "{source["signerName"]}" matches the labelSelector'
