"""Actions: the typed steps from one version of clean data to the next, checked here against its columns.

`check_actions` turns messages into a plan of few kinds of steps, or tells what is wrong with each of them. Both
services use it: one before it accepts a job, the other before it runs one.
"""

from shared.actions.checking import MAX_ACTIONS, check_actions
from shared.actions.plan import ActionErrors, Column, Plan, Violation

__all__ = ["MAX_ACTIONS", "ActionErrors", "Column", "Plan", "Violation", "check_actions"]
