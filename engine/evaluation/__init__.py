"""How good a circuit is: faithfulness, completeness, minimality, and intervals."""
