"""What an archive can hold: pictures in files, arrays, tables; each cut into pieces, one a block, and put together again."""
