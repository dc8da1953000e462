"""A virtual device that takes an update as the firmware does, alone or as one of many.

The rest of the package imports ``many_runs`` (run the devices of a command line), ``options`` (flags of
``invoke device``) and ``flash.is_in_use``. Everything else is internal.
"""
