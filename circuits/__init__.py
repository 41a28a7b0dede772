"""The computation graph, circuits and their algebra, serialisation and pictures. No torch here."""
