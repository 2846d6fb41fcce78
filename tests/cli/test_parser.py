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
def test_the_project_of_a_tuning_may_stand_anywhere(words):
    args = build_parser().parse_args(["tune", *words])
    assert (args.project, args.vary) == (Path(PROJECT), ["batch=1,2", "tile=64,96"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([PROJECT, "--vary", "batch=1,2", "learning_rate"], "one PROJECT, not p.pathseg and learning_rate"),
        (["--vary", "batch=1,2", "a", "--steps", "3", "b"], "one PROJECT, not a and b"),
        (["--vary", "batch=1,2"], "required: PROJECT"),
        ([PROJECT], "required: --vary"),
    ],
)
def test_a_tuning_of_no_project_or_of_two_is_wrong_usage(words, message, capsys):
    with pytest.raises(SystemExit) as end:
        build_parser().parse_args(["tune", *words])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_help_says_how_shares_are_written_and_where_the_project_may_stand(capsys):
    for command, told in (("split", "percents that add up to 100"), ("tune", "PROJECT, which may stand anywhere")):
        with pytest.raises(SystemExit):
            build_parser().parse_args([command, "--help"])
        assert told in " ".join(capsys.readouterr().out.split())
