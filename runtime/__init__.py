"""What any command needs of its process: errors, files, tables, plugins, parallel work, signals, progress, logs.

No TensorFlow, and nothing else of the project.
"""
