"""The alignment report: predictions beside human scores, as a table, a JSON file and a page that a person opens."""
