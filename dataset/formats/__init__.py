"""The files of a prepared data set: their form, reading them, and the only writer of them. No TensorFlow."""
