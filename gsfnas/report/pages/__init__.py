"""Pages of a report: each loops over what the sections show."""
