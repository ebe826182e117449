"""The gate: may a new version replace the one in production? Both answer the same test documents."""
