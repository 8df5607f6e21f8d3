"""The API server: HTTP -> request -> authn -> authz -> admission -> registry -> store -> watch."""
