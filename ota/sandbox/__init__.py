"""A stand-in for AWS on this machine: IoT Core with OTA updates, S3, IAM and STS, as a process of its own.

It imports nothing from the rest of ``ota``. Others import two of its rooms only: ``process``, which starts, finds and
stops a sandbox, and ``firmware``, which lays out a miniature firmware tree. Any AWS client can use a sandbox through
``AWS_ENDPOINT_URL``; ``python -m ota.sandbox`` serves. A room imports lower rooms only: policy < moto < jobs < mqtt <
http < process.
"""
