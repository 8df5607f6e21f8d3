"""Encryption at rest: what an EncryptionConfiguration names is encrypted before it goes into the store.

    registry, watch cache -> EncryptedStore -> store       (see `store`)

A *provider* turns bytes into bytes (`providers`); the file says which ones each resource has (`configuration`). The
first provider writes, all of them read: so a key is rotated by putting the new one first, writing everything again
(`kubectl get secrets -A -o json | kubectl replace -f -`), and then taking the old one away.
"""
