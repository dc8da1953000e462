"""Lists and deletes objects that the user names."""
