"""The fields of a run's parameters, by subject; model/configuration/params.py makes one class of them."""
