"""No domain: clock, back-off, task groups, work queue. Imports nothing of ours."""
