import subprocess
import sys
from dataclasses import MISSING, fields
from itertools import groupby
from pathlib import Path

import pytest

from napari_pathseg.config import NETWORK_NAMES, TrainConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.networks.kinds import NETWORK_KINDS, NetworkKind, OwnEncoder, RelativeCost, StepCost

README = Path(__file__).parents[3] / "README.md"


def readme_rows():
    """The README's table of networks; those that say the same share a line."""
    default = TrainConfig().architecture
    for (summary, weights), kinds in groupby(NETWORK_KINDS.values(), lambda kind: (kind.summary, kind.weights)):
        names = [f"`{kind.name}`" + (" (the default)" if kind.name == default else "") for kind in kinds]
        yield f"| {', '.join(names)} | {summary} | {weights} |"


def test_settings_offer_the_networks_of_the_table():
    assert tuple(NETWORK_KINDS) == NETWORK_NAMES


def test_readme_lists_the_networks_of_the_table():
    assert "\n".join(["| `--architecture` | | weights |", "|---|---|---|", *readme_rows(), ""]) in README.read_text(
        "utf8"
    )


@pytest.mark.parametrize("row", [NetworkKind, OwnEncoder, RelativeCost, StepCost])
def test_table_row_must_give_every_field(row):
    assert all(field.default is field.default_factory is MISSING and field.kw_only for field in fields(row))


def test_encoder_setting_names_the_networks_without_a_choice():
    (encoder,) = (field for field in fields(TrainConfig) if field.name == "encoder")
    own = " and ".join(kind.name for kind in NETWORK_KINDS.values() if kind.own_encoder)
    assert f"{own} have a fixed one" in encoder.metadata["info"].help


@pytest.mark.parametrize("kind", NETWORK_KINDS.values(), ids=NETWORK_KINDS)
def test_only_a_grey_network_takes_one_channel(kind):
    if kind.own_encoder is None:
        assert not kind.grey  # encoders of libraries take RGB
        return
    network = build_network(NetworkSpec(kind.name, "", 2, 1 if kind.grey else 3))
    assert next(network.parameters()).shape[1] == (1 if kind.grey else 3)


def test_table_imports_no_torch():
    code = "import napari_pathseg.engine.networks.kinds, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
