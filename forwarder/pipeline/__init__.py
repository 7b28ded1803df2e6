"""From records to events in their wire form."""
