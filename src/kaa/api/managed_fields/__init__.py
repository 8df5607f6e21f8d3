"""Who set which field: `metadata.managedFields`, and server-side apply, which is built on it.

Every write has a *manager*, a name. The fields that it sets become its own; those that it changes leave the others.
An *apply* is the write of somebody who says all that he wants and nothing else: what he no longer says goes, unless
somebody else owns it, and what others own he may change only by force.

    field_sets   sets of fields, in the form that they have on the wire (FieldsV1), and their algebra
    shapes       how values of a type are compared and merged: which fields are one, which lists have keys
    compiled     shapes of built-in kinds and of custom ones
    entries      the entries of metadata.managedFields
    changes      what a create, update or patch does to the entries
    apply        what an apply does to the object and the entries

All of it is pure. Sets and objects that go in are never changed. Source: KEP-555; API concepts, "Server-Side Apply".
"""
