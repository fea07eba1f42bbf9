"""The tasks that adapters are compared on."""

from .ratings import movie_polarity
from .registry import TASKS, load_task, task_names
from .task import Metric, Split, Suite, Task, TaskSpec

__all__ = ["TASKS", "Metric", "Split", "Suite", "Task", "TaskSpec", "load_task", "movie_polarity", "task_names"]
