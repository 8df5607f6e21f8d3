"""The container runtime behind CRI v1, and the gRPC server and client of that interface."""
