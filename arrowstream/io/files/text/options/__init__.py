"""How text files are written: the options of the user, and other encodings as UTF-8."""
