"""Where models have the style of rows: in their context, or in a code of its own."""
