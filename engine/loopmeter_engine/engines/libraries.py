"""The libraries of other people's models at arm's length: quiet, and run on shapes alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode

from loopmeter_engine.engines.safetensors_check import CheckpointFault
from loopmeter_engine.stopping import check_wanted


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Other people's deprecations and progress bars are not our users' business."""
    from transformers.utils import logging

    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def build_on_meta(part: str, name: str, make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """The network ``name`` that is ``part`` of a checkpoint, of shapes alone: no memory, no values.

    Raises:
        CheckpointFault: ``make`` raises, which is the fault of the part's configuration.
    """
    with quiet_libraries(), torch.device("meta"):
        try:
            return make().eval()
        # Whatever a configuration makes the library raise, it is the checkpoint's fault.
        except Exception as error:
            raise CheckpointFault(
                f"{part}: expected the configuration of {name}, found one that fails: {error}"
            ) from error


def between_steps(*_: object) -> dict[str, object]:
    """What a pipeline of diffusers calls after each step: stops it when nobody wants the lease any more."""
    check_wanted()
    return {}


def working_device(part: torch.nn.Module) -> torch.device:
    """Where a part of a pipeline computes. One that is offloaded waits in main memory, and takes only itself along."""
    hook = getattr(part, "_hf_hook", None)  # Set by accelerate.
    found = getattr(hook, "execution_device", None)
    return torch.device(found) if found is not None else next(part.parameters()).device


def aligned(model: torch.nn.Module) -> torch.nn.Module:
    """The same model, its weights in memory of its own.

    As they are read, they lie in the mapped file at any address, and a kernel that goes by the address rounds the last
    bit otherwise: the same file in another folder would play other bytes.
    """
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.data = tensor.data.clone()
    return model


def counted_flops(run: Callable[[], object]) -> int:
    """Floating-point operations of ``run`` on the meta device, as ``FlopCounterMode`` counts the work itself."""
    with torch.no_grad(), torch.device("meta"), FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())
