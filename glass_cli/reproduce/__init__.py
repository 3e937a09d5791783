"""`glass reproduce`: a whole comparison, from the runs to the pages of its results and claims."""
