"""MetaMathQA to GSM8K in the layout and the result format of PEFT's method_comparison."""

from .experiment import Experiment, TrainingParams, read_experiment
from .run import run_experiment

__all__ = ["Experiment", "TrainingParams", "read_experiment", "run_experiment"]
