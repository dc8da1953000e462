"""A virtual device that takes an update as the firmware does.

The rest of the package imports ``runs`` (run devices), ``options`` (flags of ``invoke device``), ``rehearsals`` (many
devices in the sandbox) and ``flash.is_in_use``. Everything else is internal.
"""
