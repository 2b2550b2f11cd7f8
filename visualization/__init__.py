"""Pictures of what a network has learned: one folder for each command of visualize.py.

The folder has the command's name and two files. `__init__.py` is for --help, so it imports argparse and little more.
Its docstring is the help: the first line for the list of commands, all of it (without the example) for the command.
It defines

    add_arguments(parser)       adds the command's arguments to an argparse parser

`command.py` is imported after the arguments are read. It defines

    run(args) -> int            runs the command and returns the exit code; raises a UserError for invalid input

`command.py` does not import TensorFlow. A command that needs TensorFlow has a module for it, imported after all cheap
checks and after `model.run.devices.prepare`.

>>> from visualize import COMMANDS
>>> print(*COMMANDS)
analyze attention batches data distances embedding hparams projector rankings tracks
"""
