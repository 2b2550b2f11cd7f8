"""The commands of visualize.py, one module per command; its name is the file's name.

A module here has a docstring, whose first line is the help of the command, and defines

    add_arguments(parser)       adds the command's arguments to an argparse parser
    run(args) -> int            does it and gives the exit code; raises a UserError for what the user has to mend

At its top it imports nothing heavy, so that --help answers at once; `run` imports TensorFlow when all that is cheap to
check has been checked.
"""
