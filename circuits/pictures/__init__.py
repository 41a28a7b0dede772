"""Pictures that go straight into a paper: circuits by Graphviz, heatmaps and curves by matplotlib."""
