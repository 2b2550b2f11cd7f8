"""Pictures of what a network has learned: one folder for each command of visualize.py, whose name is the folder's.

A command's folder has an `__init__.py`, for --help, which imports argparse and little more. Its docstring is the
command's help, its first line that in the list of commands, and it defines

    add_arguments(parser)       adds the command's arguments to an argparse parser

and a `command.py`, imported once the arguments are read, which defines

    run(args) -> int            does it and gives the exit code; raises a UserError for what the user has to mend

`command.py` imports no TensorFlow. A command that needs it has a module for it, which is imported late: after all that
is cheap has been checked, and after `model.run.devices.prepare`.
"""
