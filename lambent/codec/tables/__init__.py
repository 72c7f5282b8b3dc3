"""Tables: the text of a CSV file to the tokens of a trained Table model and back, byte for byte."""
