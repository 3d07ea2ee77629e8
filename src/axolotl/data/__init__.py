"""Sources → formats → tokens → a content-addressed store. `prepare.prepare` is the entrance."""
