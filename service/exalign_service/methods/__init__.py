"""The unary methods and the pipeline behind them."""
