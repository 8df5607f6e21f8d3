"""How all tests run: hypothesis draws the same examples each time where a run must be repeatable."""

import os

from hypothesis import settings

# A shared machine is slow now and then: time is not what a property is about.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
