"""What is asked of a model of counts in cells: expression, which genes differ, doublets, types."""
