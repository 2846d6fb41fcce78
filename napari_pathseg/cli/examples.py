"""An example or two of each command, which its help ends with."""

from collections.abc import Mapping, Sequence

EXAMPLES: Mapping[str, Sequence[str]] = {
    "new": ["new liver.pathseg --class Background --class Tumour --class Stroma"],
    "add": [
        "add liver.pathseg slides/*.tif --contours outlines/ --patient '^[^-]+'",
        "add liver.pathseg case.svs --map lesion=Tumour --role test",
    ],
    "set": ["set liver.pathseg --slide a --pixel-size 0.25"],
    "remove": ["remove liver.pathseg a b", "remove liver.pathseg a --restore"],
    "split": ["split liver.pathseg --train 70 --val 15 --test 15"],
    "class": ["class liver.pathseg", 'class liver.pathseg merge "Tumor 2" Tumour'],
    "relink": ["relink liver.pathseg /new/disk"],
    "list": ["list liver.pathseg", "list liver.pathseg disk"],
    "show": ["show liver.pathseg m001"],
    "clean": ["clean liver.pathseg --dry-run"],
    "check": ["check liver.pathseg"],
    "versions": ["versions liver.pathseg --slide a --restore 3"],
    "model": ["model liver.pathseg", "model liver.pathseg current m001"],
    "train": ["train liver.pathseg --minutes 5", "train liver.pathseg --config liver.pathseg/runs/r003/config.json"],
    "tune": ["tune liver.pathseg --vary learning_rate=1e-4,1e-3 --vary batch=2,4"],
    "predict": ["predict liver.pathseg --slide a", "predict --bundle liver.pathseg/models/m001 new/ --out masks/"],
    "cluster": ["cluster --workers 2"],
    "score": ["score liver.pathseg --role test"],
    "queue": ["queue liver.pathseg --out next/"],
    "rounds": ["rounds liver.pathseg --out rounds.csv"],
    "convert-weights": ["convert-weights vgg16.pth vgg16.safetensors"],
    "export": ["export liver.pathseg --format geojson --what prediction --out found/"],
    "convert": ["convert outlines/a.xml a.geojson --slide a.svs"],
    "export-model": ["export-model liver.pathseg --format bioimageio --out out/"],
    "import-model": ["import-model other.pathseg out/m001.bioimageio.zip"],
    "report": ["report liver.pathseg --out report/"],
    "open": ["open liver.pathseg --slide a", "open slide.svs"],
    "demo": ["demo"],
    "doctor": ["doctor", "doctor liver.pathseg --only disk --only locks"],
    "completion": ["completion bash > ~/.local/share/bash-completion/completions/pathseg"],
}
