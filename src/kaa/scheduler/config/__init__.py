"""KubeSchedulerConfiguration v1: read, checked as upstream checks it, and made into profiles.

`schema.txt` has its types, in the notation of the API's own (`api/schema.py`).
"""


class BadConfiguration(Exception):
    """The file is not usable. The message is for a person, and names the fields at fault."""
