"""The notebooks, run in order by papermill."""
