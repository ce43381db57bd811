"""Schema registries that speak Confluent's protocol: options and client."""
