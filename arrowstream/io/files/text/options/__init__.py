"""How text files are written: the options of sources and of CSV sinks, and other encodings as UTF-8."""
