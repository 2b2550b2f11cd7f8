"""Pictures of what a network has learned: one folder for each command of visualize.py, whose name is the folder's.

A command's folder has a `command.py`. Its docstring's first line is the help of the command, and it defines

    add_arguments(parser)       adds the command's arguments to an argparse parser
    run(args) -> int            does it and gives the exit code; raises a UserError for what the user has to mend
"""
