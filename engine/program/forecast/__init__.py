"""How long a program will take: what its methods compute, counted, at rates measured on this machine."""
