"""The firmware project: its tree, header, build, image version, signature, and what each profile parses."""
