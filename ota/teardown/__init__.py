"""Tears down what the tasks made, in the one safe order, and proves that nothing is left: ``clean``, ``teardown``."""
