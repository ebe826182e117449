"""Imported by the server of `forked`: the detector of languages takes a second to load, once for all processes."""

from tagsmith.model.languages import detected

detected("The detector is loaded.")
