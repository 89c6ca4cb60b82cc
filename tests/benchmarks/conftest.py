"""What the measurements say of the machine: public facts, no names and no paths."""

from __future__ import annotations

from optkit.bench.page import machine


def pytest_benchmark_generate_machine_info() -> dict[str, str]:
    return machine()
