"""The controller runtime and one file a controller, each a row and a pure reconcile."""
