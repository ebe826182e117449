"""Measurements of unattended renewal: a simulated year, kills at random instants, how often the gate errs."""
