"""The computation graph, circuits and operations on them, files and pictures. Nothing here imports torch."""
