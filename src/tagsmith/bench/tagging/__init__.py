"""Learning curves and strategies of choosing documents, simulated on tagged data."""
