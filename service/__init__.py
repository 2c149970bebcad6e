"""The process that shows: one read-only page and API over the others' status; it can touch nothing."""
