"""Changes to other libraries: one function each, undone on exit, tested to be still needed."""
