"""The settings: a table with one row each, where a value comes from, references and filters, and every check.

Other modules use ``settings.py`` for the values, ``table.py`` for the rows, ``formatter.py`` for texts with references
and ``names.py`` for the names that AWS accepts.
"""
