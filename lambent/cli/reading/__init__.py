"""Reading what a user asks for: flags, files of settings, sources of rows."""
