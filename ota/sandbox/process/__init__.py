"""The process of a sandbox: started, found by its address file, reset and stopped.

The door of this room is this module, which is light to import (no moto, no boto3), so that a task may ask for the
address at no cost.
"""

from .address import ADDRESS_FILE, Address, ask, read_address, write_address
from .lifecycle import SandboxError, reset, start, stop

__all__ = ["ADDRESS_FILE", "Address", "SandboxError", "ask", "read_address", "reset", "start", "stop", "write_address"]
