"""Trains and samples one peer of inkling; started by peers.py in the peers' own environment.

    python benchmarks/peers_worker.py TASK.json

Knows nothing of inkling. A task is JSON in, and JSON and arrays of samples out. What it asks:

    fit    the width at which a network has so many operations a picture
    speed  pictures a second in each precision and memory layout
    run    train for so many seconds, then sample in all the ways of the task
"""

import importlib
import importlib.util
import itertools
import json
import math
import resource
import sys
import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from peak import flops
from torch import Tensor, nn

diffusers: Any = importlib.import_module("diffusers")
diffusers_training: Any = importlib.import_module("diffusers.training_utils")
ema_pytorch: Any = importlib.import_module("ema_pytorch")

CLASSES, DROP, LEVELS, SAMPLED_AT_ONCE, WARM_UP = 10, 0.1, 1000, 250, 50
FORMS = list(itertools.product(("float32", "bfloat16"), (False, True)))
"""(precision, channels last) in which a peer may be trained."""


class Peer(ABC):
    """A library's way from pictures to a loss, and from a trained model to samples."""

    side: int
    """Height and width that the network takes; pictures have zeros around them if need be."""
    samplers: tuple[str, ...]
    """In which it may sample in few steps."""
    betas: tuple[float, float]
    """Of AdamW, from the library's own training script."""
    weight_decay: float
    net: nn.Module
    """What learns."""

    @abstractmethod
    def __init__(self, width: int, prediction: str): ...

    @abstractmethod
    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """The loss [] of pictures float32 [B, 1, H, W] in [-1, 1]."""

    @abstractmethod
    def averaged(self) -> None:
        """Take the new weights into the average."""

    @abstractmethod
    def finish(self) -> None:
        """Sample with the averaged weights from now on."""

    @abstractmethod
    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """One call of the network, whose operations are counted."""

    @abstractmethod
    def sample(self, labels: Tensor, sampler: str, steps: int, scale: float) -> Tensor:
        """Samples [B, 1, H, W] in [-1, 1]; guided, where the scale is not 1."""


class Diffusers(Peer):
    """`UNet2DModel` and the schedulers: the layout and rates of the library's course on MNIST.

    Optimiser and average are those of `train_unconditional.py`.
    """

    side, samplers = 28, ("dpm++", "ddim")
    betas, weight_decay = (0.95, 0.999), 1e-6

    def __init__(self, width: int, prediction: str):
        self.net = diffusers.UNet2DModel(
            sample_size=28,
            in_channels=1,
            out_channels=1,
            layers_per_block=2,
            block_out_channels=(width, 2 * width, 2 * width),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=8,
            num_class_embeds=CLASSES + 1,  # the last one: no class
        )
        self.schedule = diffusers.DDPMScheduler(
            LEVELS,
            beta_schedule="squaredcos_cap_v2",
            prediction_type={"v": "v_prediction", "noise": "epsilon"}[prediction],
        )
        self.average = diffusers_training.EMAModel(
            self.net.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75
        )

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        times = torch.zeros(len(x), dtype=torch.long)
        found: Tensor = self.net(x, times, labels).sample
        return found

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        noise = torch.randn_like(x)
        times = torch.randint(LEVELS, (len(x),))
        dropped = torch.where(torch.rand(len(x)) < DROP, CLASSES, labels)
        noisy = self.schedule.add_noise(x, noise, times)
        target = noise
        if self.schedule.config.prediction_type == "v_prediction":
            target = self.schedule.get_velocity(x, noise, times)
        return F.mse_loss(self.net(noisy, times, dropped).sample.float(), target)

    def averaged(self) -> None:
        self.average.step(self.net.parameters())

    def finish(self) -> None:
        self.average.copy_to(self.net.parameters())
        self.net.eval()

    def sample(self, labels: Tensor, sampler: str, steps: int, scale: float) -> Tensor:
        config = self.schedule.config
        scheduler: Any = (
            # What the library's documents recommend for pixels and for the cosine schedule.
            diffusers.DPMSolverMultistepScheduler.from_config(
                config, thresholding=True, dynamic_thresholding_ratio=1.0, lambda_min_clipped=-5.1
            )
            if sampler == "dpm++"
            else diffusers.DDIMScheduler.from_config(config, timestep_spacing="trailing")
        )
        scheduler.set_timesteps(steps)
        x = torch.randn(len(labels), 1, 28, 28)
        nothing = torch.full_like(labels, CLASSES)
        for t in scheduler.timesteps:
            if scale == 1:
                found = self.net(x, t, labels).sample.float()
            else:
                both = self.net(torch.cat([x, x]), t, torch.cat([nothing, labels])).sample
                null, asked = both.float().chunk(2)
                found = null + scale * (asked - null)
            x = scheduler.step(found, t, x).prev_sample
        return x


class Lucidrains(Peer):
    """denoising-diffusion-pytorch: `Unet` and `GaussianDiffusion` for classes."""

    side, samplers = 32, ("ddim", "ddim, eta 1")
    betas, weight_decay = (0.9, 0.99), 0.0

    def __init__(self, width: int, prediction: str):
        library = _without_its_package("denoising_diffusion_pytorch", "classifier_free_guidance")

        class Unet(library.Unet):  # type: ignore[misc, name-defined]
            """As it is, but it can sample unguided: its sampler expects two outputs always."""

            def forward_with_cond_scale(
                self, *inputs: Any, cond_scale: float, **options: Any
            ) -> Any:
                found = super().forward_with_cond_scale(*inputs, cond_scale=cond_scale, **options)
                return (found, found) if cond_scale == 1 else found

        self.net = Unet(width, CLASSES, DROP, dim_mults=(1, 2, 4), channels=1)
        self.diffusion: Any = library.GaussianDiffusion(
            self.net, image_size=32, timesteps=LEVELS, objective=f"pred_{prediction}"
        )
        # The decay of its trainer; at every step and not every tenth, because runs are short.
        self.average = ema_pytorch.EMA(self.diffusion, beta=0.995, update_every=1)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        found: Tensor = self.net(x, torch.zeros(len(x), dtype=torch.long), labels)
        return found

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        found: Tensor = self.diffusion((x + 1) / 2, classes=labels)
        return found

    def averaged(self) -> None:
        self.average.update()

    def finish(self) -> None:
        self.diffusion = self.average.ema_model.eval()

    def sample(self, labels: Tensor, sampler: str, steps: int, scale: float) -> Tensor:
        self.diffusion.sampling_timesteps, self.diffusion.is_ddim_sampling = steps, True
        self.diffusion.ddim_sampling_eta = 1.0 if "eta 1" in sampler else 0.0
        found: Tensor = self.diffusion.sample(labels, cond_scale=scale)
        return found.float() * 2 - 1


def _without_its_package(package: str, module: str) -> ModuleType:
    """One file of a package.

    The package itself imports torchvision and pytorch-fid, which nothing here needs.
    """
    found = importlib.util.find_spec(package)
    assert found is not None and found.submodule_search_locations, f"{package} is not installed"
    path = Path(found.submodule_search_locations[0], f"{module}.py")
    spec = importlib.util.spec_from_file_location(module, path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


PEERS: dict[str, type[Peer]] = {"diffusers": Diffusers, "lucidrains": Lucidrains}


def autocast(precision: str) -> AbstractContextManager[Any]:
    """The precision of the network's arithmetic."""
    lower = precision == "bfloat16"
    return torch.autocast("cpu", torch.bfloat16, enabled=lower)


class Training:
    """A peer that learns, step by step.

    Args:
        peer: with fresh weights.
        task: batch, lr, precision and channels_last among others.
    """

    def __init__(self, peer: Peer, task: dict[str, Any]):
        self.peer, self.task = peer, task
        with np.load(task["data"]) as arrays:
            self.images = torch.from_numpy(arrays["images"])  # uint8 [N, 1, 28, 28]
            self.labels = torch.from_numpy(arrays["labels"]).long()
        self.layout = torch.channels_last if task["channels_last"] else torch.contiguous_format
        peer.net.to(memory_format=self.layout)  # type: ignore[call-overload]
        self.optimiser = torch.optim.AdamW(
            peer.net.parameters(),
            task["lr"],
            betas=peer.betas,
            weight_decay=peer.weight_decay,
            fused=True,
        )
        self.order = torch.randperm(len(self.images))
        self.steps = 0

    def step(self, fraction: float) -> None:
        """One step; `fraction` of the run is done, and the rate follows a cosine over it."""
        first = self.steps * self.task["batch"] % (len(self.images) - self.task["batch"] + 1)
        rows = self.order[first : first + self.task["batch"]]
        margin = (self.peer.side - self.images.shape[-1]) // 2
        x = F.pad(self.images[rows], [margin] * 4).float() / 127.5 - 1
        x = x.to(memory_format=self.layout)
        rise = min(1.0, (self.steps + 1) / WARM_UP)
        self.optimiser.param_groups[0]["lr"] = (
            self.task["lr"] * rise * (1 + math.cos(math.pi * fraction)) / 2
        )
        with autocast(self.task["precision"]):
            loss = self.peer.loss(x, self.labels[rows])
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.peer.net.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.peer.averaged()
        self.steps += 1


def gflop(peer: Peer) -> float:
    """10^9 operations of a call, for one picture."""
    x, labels = torch.zeros(2, 1, peer.side, peer.side), torch.zeros(2, dtype=torch.long)
    return flops(lambda: peer.forward(x, labels)) / 2 / 1e9


def fit_width(task: dict[str, Any]) -> dict[str, Any]:
    """The width, a multiple of eight, whose operations come nearest to the task's."""
    kind = PEERS[task["peer"]]
    found = {width: gflop(kind(width, "v")) for width in range(8, 73, 8)}
    width = min(found, key=lambda each: abs(math.log(found[each] / task["gflop"])))
    return {"width": width, "gflop": found[width]}


def speeds(task: dict[str, Any]) -> dict[str, Any]:
    """Pictures a second in each form, and which is the fastest."""
    rates = {}
    for precision, channels_last in FORMS:
        peer = PEERS[task["peer"]](task["width"], task["prediction"])
        form = task | {"precision": precision, "channels_last": channels_last}
        training = Training(peer, form)
        for _ in range(3):
            training.step(0.0)
        begun, before = time.monotonic(), training.steps
        while time.monotonic() - begun < task["seconds"]:
            training.step(0.0)
        done = (training.steps - before) * task["batch"]
        rates[precision, channels_last] = done / (time.monotonic() - begun)
    precision, channels_last = max(rates, key=lambda form: rates[form])
    named = {f"{form[0]}{', channels last' * form[1]}": rate for form, rate in rates.items()}
    return {"precision": precision, "channels_last": channels_last, "rates": named}


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Train for the task's seconds; then sample in each way, and write the samples."""
    torch.manual_seed(task["seed"])
    peer = PEERS[task["peer"]](task["width"], task["prediction"])
    training = Training(peer, task)
    begun = time.monotonic()
    while (seconds := time.monotonic() - begun) < task["budget"]:
        training.step(seconds / task["budget"])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    numbers = {
        "steps": training.steps,
        "seconds": seconds,
        "memory": memory * (1 if sys.platform == "darwin" else 1024),
        "gflop": gflop(peer),
        "parameters": sum(p.numel() for p in peer.net.parameters()),
    }
    peer.finish()
    labels = torch.arange(CLASSES).repeat_interleave(task["each"])
    task = task | {"precision": faster_in(peer, task, labels)}
    rows: list[dict[str, Any]] = []
    for calls, scale, sampler in itertools.product(task["calls"], task["scales"], peer.samplers):
        steps = calls if scale == 1 else calls // 2  # a guided step takes two calls
        begun = time.monotonic()
        images = sample(peer, task, labels, sampler, steps, scale)
        taken = time.monotonic() - begun
        file = f"samples-{len(rows)}.npz"
        np.savez(Path(task["out"], file), images=images.numpy())
        rows.append(
            {"calls": calls, "scale": scale, "sampler": sampler} | {"seconds": taken, "file": file}
        )
    return numbers | {"samples": rows, "sampled_in": task["precision"]}


def faster_in(peer: Peer, task: dict[str, Any], labels: Tensor) -> str:
    """The precision in which a batch is sampled faster, the second time."""
    taken = {}
    for precision in ("float32", "bfloat16"):
        for _ in range(2):
            begun = time.monotonic()
            form = task | {"precision": precision}
            sample(peer, form, labels[:SAMPLED_AT_ONCE], peer.samplers[0], 2, 1.0)
            taken[precision] = time.monotonic() - begun
    return min(taken, key=lambda precision: taken[precision])


@torch.inference_mode()
def sample(
    peer: Peer, task: dict[str, Any], labels: Tensor, sampler: str, steps: int, scale: float
) -> Tensor:
    """Samples uint8 [N, 1, 28, 28]."""
    parts = []
    with autocast(task["precision"]):
        for part in torch.split(labels, SAMPLED_AT_ONCE):
            parts.append(peer.sample(part, sampler, steps, scale))
    x = torch.cat(parts).float()
    margin = (x.shape[-1] - 28) // 2
    x = x[..., margin : margin + 28, margin : margin + 28]
    return (x.clamp(-1, 1) * 127.5 + 127.5).round().to(torch.uint8)


def main() -> None:
    """Do the task in the file that is named, and write what came out beside it."""
    path = Path(sys.argv[1])
    task = json.loads(path.read_text())
    work = {"fit": fit_width, "speed": speeds, "run": run}[task["what"]]
    path.with_suffix(".out.json").write_text(json.dumps(work(task), indent=1))


if __name__ == "__main__":
    main()
