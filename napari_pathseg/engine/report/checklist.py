"""What reporting guidelines ask for, and what a report answers: none is left blank.

The items are those of CLAIM [1]_ and TRIPOD+AI [2]_, in few words of our own; the numbers are theirs.

References
----------
.. [1] Mongan, Moy and Kahn, Checklist for artificial intelligence in medical imaging (CLAIM), Radiology: Artificial
   Intelligence 2(2):e200029, 2020.
.. [2] Collins et al., TRIPOD+AI statement, BMJ 385:e078378, 2024.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

NOT_RECORDED = "not recorded"


class Item(NamedTuple):
    """An item of one or both guidelines: its numbers, what is asked, and the answer."""

    claim: str
    tripod: str
    asked: str
    answer: str


def checklist(content: Mapping[str, Any]) -> list[Item]:
    """Return all items with what the report says on each, "not recorded" where it says nothing."""
    known = {**_data(content), **_method(content), **_results(content)}
    return [Item(claim, tripod, asked, known.get(asked) or NOT_RECORDED) for claim, tripod, asked in _ITEMS]


_ITEMS = (
    ("1", "1", "Title names the method and the task"),
    ("2", "2", "Structured abstract"),
    ("3", "3a–c", "Clinical background, and the role of the model"),
    ("4", "4", "Objectives"),
    ("5", "5a", "Prospective or retrospective"),
    ("6", "4", "Goal of the study"),
    ("7", "5a, b", "Sources of the data, and their dates"),
    ("8", "6a–c", "Eligibility and setting"),
    ("9", "7", "Preprocessing"),
    ("10", "7", "Selection of parts of the data"),
    ("11", "8, 9", "Definition of the classes"),
    ("12", "", "De-identification"),
    ("13", "11", "Missing data"),
    ("14", "8a", "Reference standard"),
    ("15", "8a", "Why this reference standard"),
    ("16", "8b", "Who annotated, with which qualification"),
    ("17", "", "Tools of annotation"),
    ("18", "8b", "Variability of annotators"),
    ("19", "10", "Sample size, and how it was chosen"),
    ("20", "12a", "Partition of the data"),
    ("21", "12a", "Level at which the partitions are apart"),
    ("22", "12c", "The model"),
    ("23", "12c", "Software"),
    ("24", "12c", "Initial weights"),
    ("25", "12c", "Training"),
    ("26", "12c", "Selection of the final model"),
    ("27", "12c", "Ensembles"),
    ("28", "12e", "Measures of performance"),
    ("29", "12e", "Uncertainty"),
    ("30", "12d", "Robustness, and heterogeneity between sites"),
    ("31", "25", "Explainability"),
    ("32", "16", "Test on data from elsewhere"),
    ("33", "20a", "Flow of the cases"),
    ("34", "20b, c", "Demographic and clinical characteristics"),
    ("35", "23a", "Performance on each partition"),
    ("36", "23a", "Performance with its uncertainty"),
    ("37", "23b", "Analysis of failures"),
    ("38", "26", "Limitations"),
    ("39", "27a–c", "Use in practice"),
    ("40", "18d", "Registration"),
    ("41", "18c", "Protocol"),
    ("42", "18a, b", "Funding, and conflicts of interest"),
    ("", "13", "Class imbalance"),
    ("", "14", "Fairness"),
    ("", "15", "Output of the model"),
    ("", "17", "Ethical approval"),
    ("", "18e, f", "Sharing of data and code"),
    ("", "19", "Involvement of patients and the public"),
    ("", "21", "Cases of model development"),
    ("", "22", "The model in full, so that others can use it"),
    ("", "24", "Updates of the model"),
)


def _data(content: Mapping[str, Any]) -> dict[str, str]:
    data, split = content["data"], content["partition"]
    slides = data["slides"]
    named = {row["patient"] for row in slides if row["patient"]}
    unknown = sum(row["patient"] is None for row in slides)
    counts = [f"{values['slides']} slides {role}" for role, values in data["by_role"].items()]
    leaks = "no patient is in two roles" if not split["leaks"] else f"in two roles: {', '.join(split['leaks'])}"
    imported = f", and files: {', '.join(data['imported_files'])}" if data["imported_files"] else ""
    return {
        "Definition of the classes": ", ".join(content["identity"]["classes"]),
        "Missing data": f"Pixels without a label are neither learnt nor scored; {unknown} slides of unknown patients.",
        "Reference standard": "Labels that a person drew, imported, corrected or accepted; see Data for how many.",
        "Tools of annotation": f"napari-pathseg{imported}.",
        "Sample size, and how it was chosen": f"{len(slides)} slides of {len(named)} named patients; how it was chosen "
        f"is {NOT_RECORDED}.",
        "Partition of the data": f"{'; '.join(counts)}.",
        "Level at which the partitions are apart": f"Patients: {leaks}.",
        "Flow of the cases": f"{'; '.join(counts)}; excluded cases are {NOT_RECORDED}.",
        "Class imbalance": "See Data for the labelled pixels of each class.",
    }


def _method(content: Mapping[str, Any]) -> dict[str, str]:
    who, how = content["identity"], content["training"]
    mpp = "the slides' own pixels" if who["mpp"] is None else f"{who['mpp']:g} µm per pixel"
    settings = how["settings"]
    parent = f"from {who['parent']}" if who["parent"] else "from pretrained or random weights, see the settings"
    versions = ", ".join(f"{name} {version}" for name, version in (who["versions"] or {}).items())
    norm = settings.get("stain_norm", "none")
    return {
        "Goal of the study": content["intended_use"],
        "Preprocessing": f"Read at {mpp}; stain normalization: {norm}.",
        "The model": f"{who['architecture']}, encoder {who['encoder']}, classes {', '.join(who['classes'])}.",
        "Software": versions,
        "Initial weights": f"{parent}.",
        "Training": f"{how['steps']} steps in {how['seconds']:.0f} s; all settings are in the report.",
        "Selection of the final model": "The weights that scored best on what is held out, see Training.",
        "Ensembles": "None.",
        "Output of the model": "The probability of each class for each pixel, and the most likely class.",
        "The model in full, so that others can use it": "The model's folder holds all of it; its hashes are under "
        "Identity.",
        "Updates of the model": f"Trained from {' from '.join(who['lineage'][1:])}." if who["lineage"][1:] else "",
    }


def _results(content: Mapping[str, Any]) -> dict[str, str]:
    results = content["results"]
    if results is None:
        return {"Limitations": " ".join(content["warnings"])}
    return {
        "Measures of performance": "Dice, IoU, precision, recall, specificity, surface distance, Hausdorff distance, "
        "lesion-wise F1, areas, calibration.",
        "Uncertainty": "95 % intervals over patients (Student's, corrected for skewness), from eight patients on; of "
        "fewer, the range.",
        "Robustness, and heterogeneity between sites": "See Subgroups, by pixel size; sites are " + NOT_RECORDED + ".",
        "Performance on each partition": f"On the role {results['role']}; while training, on what is held out.",
        "Performance with its uncertainty": " ".join(results["text"]),
        "Analysis of failures": f"{len(content['places'])} places are shown, the surest contradictions first.",
        "Limitations": " ".join(content["warnings"]) or "None was found by the report; others are not recorded.",
        "Use in practice": content["intended_use"],
    }
