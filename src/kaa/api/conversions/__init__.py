"""Objects of one version as those of another, where a kind is served in two: pure functions that the rows name."""
