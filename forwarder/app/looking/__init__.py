"""What the forwarder tells without being at work: of journal, notes, events and plugins. Changes nothing.

Only a wish is written down: dead letters that are to be tried again, or dropped, by the forwarder that is at work.
"""
