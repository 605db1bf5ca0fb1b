"""Label, correct and learn in the browser: ``vodkit review`` (see ``docs/guides/label.md``)."""
