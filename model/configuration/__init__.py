"""The parameters of a run: fields, rules, reading, the reference. No TensorFlow."""
