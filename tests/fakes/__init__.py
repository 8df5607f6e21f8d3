"""Real, small implementations of what a component talks to, for tests of that component alone."""
