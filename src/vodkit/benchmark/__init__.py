"""How fast a machine is, and how close an export is to its original."""
