"""The role that the OTA service assumes: the role itself, and its trust and permissions."""
