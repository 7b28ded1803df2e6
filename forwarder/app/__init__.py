"""The process: commands, configuration, wiring."""
