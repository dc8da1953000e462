"""Tasks that only look, and their screens: plan, status, watch, doctor, verify, explain and permissions.

The doors are ``looks``, ``summaries``, ``explain`` and ``permissions``.
"""
