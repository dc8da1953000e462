"""The device's certificate: on AWS, its decisions, its files here, and its key."""
