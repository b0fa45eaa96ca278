"""Results: local explanations, importances and the sums behind them."""
