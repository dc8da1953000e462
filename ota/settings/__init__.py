"""The settings: their table, the settings file, references and filters, and where each value came from."""
