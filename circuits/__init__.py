"""The computation graph, circuits and their algebra, files and pictures. No torch here."""
