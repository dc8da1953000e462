"""OTA updates: the updates on AWS, the requests that make them, and the job that delivers each of them."""
