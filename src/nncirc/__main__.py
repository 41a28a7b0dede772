"""`python -m nncirc` is the command `nncirc`, which begins here."""

import signal


def main() -> int:
    """The command; before it can answer Ctrl-C, and after its end, Ctrl-C ends the process without a word."""
    # Whoever starts it in the background has it ignored, and it stays so.
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from nncirc.cli import main as command

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return command()
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    raise SystemExit(main())
