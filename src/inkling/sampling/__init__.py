"""A trained model as a pipeline: captions in, pictures out."""
