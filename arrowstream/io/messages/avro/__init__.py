"""Messages of Avro: plain datums, and those with Confluent's header and a schema registry."""
