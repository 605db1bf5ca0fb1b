"""The ground floor: records, boxes, errors, settings, files; numpy and the standard library."""
