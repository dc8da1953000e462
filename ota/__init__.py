"""Set up, watch and tear down over-the-air firmware updates through AWS IoT."""
