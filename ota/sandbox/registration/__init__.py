"""Bulk registration of things: provisioning templates, the task that reads them line by line, and its reports."""
