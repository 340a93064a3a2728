"""Reports: pages, figures, comparisons and the tables of the thesis."""
