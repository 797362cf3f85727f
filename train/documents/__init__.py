"""The figures and tables of the documents."""
