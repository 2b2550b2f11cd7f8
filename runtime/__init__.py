"""What every command uses: arguments, errors, files, tables, plugins, parallel work, signals, progress, logs.

It imports neither TensorFlow nor other packages of the project.

>>> from runtime import plugins
>>> plugins.choices("dataset.sampling")
['pk', 'triplets', 'uniform']
>>> from runtime.progress import clock
>>> clock(3725)
'1:02:05'
"""
