"""Pictures ready for a paper: circuits by Graphviz, heatmaps and curves by matplotlib."""
