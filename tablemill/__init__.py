"""The client of Tablemill: generated stubs, a small typed async client and the `tablemill` command line.

Start at `tablemill.client.TablemillClient`. This file imports nothing, so that whoever needs only the stubs
(`tablemill.v1`) loads only them.
"""
