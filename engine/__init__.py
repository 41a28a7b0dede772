"""Running circuits on models: loading, runs, metrics, methods, evaluation, programs."""
