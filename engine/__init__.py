"""Running circuits on models: adapters, interventions, methods, evaluation."""
