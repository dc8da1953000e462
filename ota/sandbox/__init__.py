"""A stand-in for AWS on this machine: IoT Core with OTA updates, S3, IAM and STS, as a process of its own.

A sealed room: it imports nothing from the rest of ``ota`` and is known to others by its address file alone. Any AWS
client can use it through ``AWS_ENDPOINT_URL``. The starter's side is in ``process``; ``python -m ota.sandbox`` serves.
"""
