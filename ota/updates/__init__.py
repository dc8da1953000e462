"""OTA updates: the updates on AWS, and the requests that make them."""
