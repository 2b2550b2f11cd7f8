"""The fields of a run's parameters, by subject; model/params_fields.py makes one class of them."""
