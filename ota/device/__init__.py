"""A virtual device that takes an update as the firmware does."""
