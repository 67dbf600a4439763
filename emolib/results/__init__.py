"""Tables, figures, the report and the checklist."""
