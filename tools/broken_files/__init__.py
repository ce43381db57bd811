"""Files with damage that arrowstream must read as a strict reader does, or refuse with a typed error."""
