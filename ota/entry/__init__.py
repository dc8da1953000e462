"""How the tasks are started: with invoke, as the program ``ota``, or as part of the user's own ``tasks.py``.

The doors of this room are ``task_class``, ``program`` and ``project_files``; only ``tasks.py`` goes through them.
"""
