import re
from pathlib import Path

import pytest

from napari_pathseg.cli.parser import build_parser

PROJECT = "p.pathseg"


@pytest.mark.parametrize(
    "words",
    [
        [PROJECT, "--vary", "batch=1,2", "tile=64,96"],
        [PROJECT, "--vary", "batch=1,2", "--vary", "tile=64,96"],
        ["--vary", "batch=1,2", "tile=64,96", PROJECT],
        ["--vary", "batch=1,2", PROJECT, "--vary", "tile=64,96"],
        ["--vary", "batch=1,2", "--vary", "tile=64,96", "--", PROJECT],
        ["--vary", "batch=1,2", "tile=64,96", "--steps", "3", PROJECT],
        ["--steps", "3", PROJECT, "--vary", "batch=1,2", "tile=64,96"],
        ["--vary", "batch=1,2", "tile=64,96", PROJECT, "--steps", "3", "--json"],
    ],
)
def test_project_of_a_tuning_may_come_anywhere(words):
    args = build_parser().parse_args(["tune", *words])
    assert (args.project, args.vary) == (Path(PROJECT), ["batch=1,2", "tile=64,96"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([PROJECT, "--vary", "batch=1,2", "learning_rate"], "expected one PROJECT, not p.pathseg and learning_rate"),
        (["--vary", "batch=1,2", "a", "--steps", "3", "b"], "expected one PROJECT, not a and b"),
        (["--vary", "batch=1,2"], "required: PROJECT"),
        ([PROJECT], "required: --vary"),
    ],
)
def test_tuning_needs_exactly_one_project(words, message, capsys):
    with pytest.raises(SystemExit) as end:
        build_parser().parse_args(["tune", *words])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_help_describes_shares_and_the_position_of_the_project(capsys):
    for command, text in (("split", "percentages that add up to 100"), ("tune", "PROJECT may come before or after it")):
        with pytest.raises(SystemExit):
            build_parser().parse_args([command, "--help"])
        assert text in " ".join(capsys.readouterr().out.split())


def test_old_name_of_swap_axes_still_works_but_is_hidden(capsys):
    assert build_parser().parse_args(["add", PROJECT, "a.tif", "--swapped"]).swap_axes
    assert build_parser().parse_args(["add", PROJECT, "a.tif", "--swap-axes"]).swap_axes
    assert not build_parser().parse_args(["add", PROJECT, "a.tif"]).swap_axes
    with pytest.raises(SystemExit):
        build_parser().parse_args(["add", "--help"])
    assert "--swapped" not in capsys.readouterr().out


def test_version_is_printed(capsys):
    with pytest.raises(SystemExit) as end:
        build_parser().parse_args(["--version"])
    assert end.value.code == 0
    assert re.fullmatch(r"pathseg \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("new p.pathseg --mpp wide", "argument --mpp: wide must lie between 0.05 and 100, or be native"),
        ("predict p.pathseg --region a,b", "argument --region: a,b must be four whole numbers"),
        (
            "predict p.pathseg --region 0,0,0,5",
            "argument --region: 0,0,0,5 must be four whole numbers, the last",
        ),
        ("predict p.pathseg --region 1,2,3,4,x", "argument --region: 1,2,3,4,x must be four whole numbers"),
    ],
)
def test_option_that_is_no_number_says_what_it_takes(words, message, capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(words.split())
    assert message in capsys.readouterr().err
