"""The door: one file a command, which turns options into one library call and prints.

``main.py`` puts the commands together and turns errors into one line and an exit code.
"""
