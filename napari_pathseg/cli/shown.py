"""Which function formats the answer of each command."""

from collections.abc import Callable, Mapping

from napari_pathseg.cli import contents_output, output

SHOWN: Mapping[str, Callable[[output.Answer], list[str]]] = {  # by command
    "new": output.show_project,
    "add": output.show_added,
    "set": output.show_set,
    "remove": output.show_removed,
    "split": output.show_split,
    "class": output.show_classes,
    "relink": output.show_found,
    "list": contents_output.show_contents,
    "show": contents_output.show_one,
    "clean": contents_output.show_cleanup,
    "check": output.show_check,
    "versions": output.show_versions,
    "model": output.show_models,
    "train": output.show_training,
    "tune": output.show_trials,
    "predict": output.show_prediction,
    "cluster": output.show_nothing,
    "score": output.show_scores,
    "queue": output.show_places,
    "rounds": output.show_rounds,
    "convert-weights": output.show_files,
    "export": output.show_files,
    "convert": output.show_converted,
    "export-model": output.show_files,
    "import-model": output.show_imported_model,
    "report": output.show_files,
    "open": output.show_nothing,
    "demo": output.show_demo,
    "doctor": output.show_report,
    "completion": output.show_script,
}
