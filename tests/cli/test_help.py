"""What the command line says of itself: examples, completion, and how it is started."""

import shlex
import subprocess
import sys

import pytest

from napari_pathseg.cli.examples import EXAMPLES
from napari_pathseg.cli.parser import build_parser


def test_help_of_every_command_ends_with_examples_that_can_be_read(run_pathseg, capsys):
    (commands,) = (action.choices for action in build_parser()._actions if action.choices)
    assert set(EXAMPLES) == set(commands)
    for name, examples in EXAMPLES.items():
        for example in examples:
            assert shlex.split(example)[0] == name
            build_parser().parse_args(shlex.split(example.partition(" >")[0]))
    with pytest.raises(SystemExit):
        build_parser().parse_args(["remove", "--help"])
    assert capsys.readouterr().out.endswith(
        "examples:\n  pathseg remove liver.pathseg a b\n  pathseg remove liver.pathseg a --restore\n"
    )


def test_package_runs_as_a_module():
    ran = subprocess.run([sys.executable, "-m", "napari_pathseg", "--version"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.split()[0]) == (0, "pathseg")


def test_bash_completes_commands_and_options(run_pathseg, tmp_path):
    code, out, _ = run_pathseg("completion", "bash")
    assert code == 0
    script = tmp_path / "pathseg.bash"
    script.write_text("\n".join(out))
    ask = (
        f"source {shlex.quote(str(script))}; COMP_WORDS=({{words}}); COMP_CWORD={{last}}; "
        "$(complete -p pathseg | grep -o '[^ ]*shtab[^ ]*'); echo ${{COMPREPLY[@]}}"
    )

    def completed(*words):
        command = ask.format(words=" ".join(words), last=len(words) - 1)
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout.split()

    assert completed("pathseg", "exp") == ["export", "export-model"]
    assert "--minutes" in completed("pathseg", "train", "--min")


@pytest.mark.parametrize("shell", ["zsh", "fish", "tcsh"])
def test_other_shells_get_a_script_with_each_command(run_pathseg, shell):
    script = "\n".join(run_pathseg("completion", shell)[1])
    assert "pathseg" in script
    assert all(name in script for name in EXAMPLES)
