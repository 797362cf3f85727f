"""What leaves the program: report, document, table, charts and words."""
