"""Runs the command line: `python -m tablemill`."""

from tablemill.cli import main

main()
