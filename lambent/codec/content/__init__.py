"""What an archive can hold: pictures in files, arrays; each cut into pieces that a block of the archive holds, and put together."""
