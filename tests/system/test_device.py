"""What the machine gives to this process."""

import os

import pytest

from inkling.system import device


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(device, "_container_cores", lambda: None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 8}, raising=False)
    assert device.usable_cores() == 3
    monkeypatch.setattr(device, "_container_cores", lambda: 2)
    assert device.usable_cores() == 2


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_the_limit_of_a_container_is_read(tmp_path, files, cores):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert device._container_cores(tmp_path) == cores
