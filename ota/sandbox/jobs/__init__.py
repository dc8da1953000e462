"""Jobs, job executions, OTA updates and streams: what the sandbox keeps of them, and what happens to them."""
