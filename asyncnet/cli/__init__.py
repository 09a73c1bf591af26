"""cli: the command `asyncnet`. It knows the library by its face alone, as any other user does."""
