"""`--config FILE`: settings from TOML, or from the `config.json` of a training, which is repeated."""

import json

import pytest

TINY = ("--tile", 64, "--batch", 2, "--steps", 2, "--weights", "none", "--minutes", 0)


@pytest.fixture
def train(run_pathseg, project):
    """Train on the project; return the answer, and the stored settings of the run."""

    def run(*options):
        code, out, said = run_pathseg("train", project.folder, *options, "--json")
        assert code == 0, said
        answer = json.loads(out[-1])
        stored = json.loads((project.folder / "runs" / answer["run"] / "config.json").read_text())
        del stored["origin"]  # the date and the command
        return answer, stored

    return run


def test_training_is_repeated_from_the_file_of_its_run(train, project):
    train(*TINY)
    _, second = train(*TINY, "--seed", 5, "--from", "none")
    train(*TINY)
    file = project.folder / "runs" / "r002" / "config.json"
    answer, repeated = train("--config", file)
    assert repeated == second
    assert answer["parent"] is None
    _, other = train("--config", file, "--seed", 6)
    assert other == {**second, "config": {**second["config"], "seed": 6}}
    assert train("--config", file, "--from", "m001")[0]["parent"] == "m001"


def test_toml_gives_settings_by_their_present_or_former_names(train, project, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('tile = 64\nbatch = 2\nsteps = 2\nminutes = 0\nweights = "none"\nclip = 0.5\n')
    _, stored = train("--config", file)
    assert stored["config"]["gradient_clip_norm"] == 0.5
    assert stored["parent"] is None


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.toml", "batchh = 2", "batchh is not a setting of TrainConfig. Did you mean batch? Choose one of "),
        ("a.toml", "minutes = ", "a.toml could not be read (Invalid value"),
        ("a.json", "[1, 2]", "a.json has no settings by name."),
        ("a.json", '{"batch": "many"}', "batch is "),
        ("none.toml", None, "none.toml could not be read (No such file or directory). "),
    ],
)
def test_file_that_is_no_use_is_named_with_the_reason(run_pathseg, project, tmp_path, name, text, expected):
    if text is not None:
        (tmp_path / name).write_text(text)
    code, _, said = run_pathseg("train", project.folder, "--config", tmp_path / name)
    assert (code, len(said)) == (1, 1)
    assert expected in said[0]
    assert not list((project.folder / "runs").iterdir())
