"""The files of a prepared data set: what they look like, and reading and writing them. No TensorFlow."""
