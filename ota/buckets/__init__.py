"""The bucket for the images: the bucket itself, who may read it, and what is in it."""
