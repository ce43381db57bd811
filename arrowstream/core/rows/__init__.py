"""The forms and types that rows may have, in the engine and outside."""
