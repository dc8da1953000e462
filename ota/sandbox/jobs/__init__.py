"""Jobs, job executions, OTA updates and streams: a model of them, and the operations on it."""
