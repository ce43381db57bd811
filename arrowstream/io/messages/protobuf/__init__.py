"""Messages of Protocol Buffers, plain and with Confluent's header."""
