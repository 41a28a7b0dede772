"""Running a checked program: building what it declares, writing results, planning ahead."""
