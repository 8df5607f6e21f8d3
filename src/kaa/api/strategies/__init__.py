"""What writing an object of a kind does beyond the common rules: the hooks that the rows name.

A hook changes the new object in place, after defaults and before validation. On creation the uid is set already; on an
update the server has put back what the request may not change.
"""
