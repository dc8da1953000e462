"""Many devices at once: registered from a list, and taken down again.

Doors: ``register`` is the task; ``cleaning`` is what ``clean`` does for registered devices.
"""
