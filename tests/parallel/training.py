"""Runs one after the other in every rank: one start of processes serves many of them."""

from typing import Any

from src.config.experiment import Experiment
from src.parallel import launch
from src.parallel.place import place
from src.train import train_rank


def train_all(configs: list[dict[str, Any]]) -> None:
    if launch.launched():
        launch.join()
    for config in configs:
        experiment = Experiment(config)
        train_rank(experiment, place(experiment.trainer, experiment.batch_size, config["devices"]))
