"""From a run to its decision rule, on documents that the model has not seen."""
