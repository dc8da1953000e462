"""The HTTP side of the sandbox: requests in, answers and errors out, injected faults, control endpoints."""
