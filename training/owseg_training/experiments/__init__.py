"""What experiments with several runs share: a folder of results, and tables over seeds."""
