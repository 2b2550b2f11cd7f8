"""The parameters of a run by subject: type, default, meaning and rules of each. `Params` joins them.

>>> from model.configuration.fields.batches import BatchParams
>>> batches = BatchParams(batch_p=16)
>>> batches.batch_p * batches.batch_k
64
"""
