"""Use the files that commit a395940 wrote, and return the ids and numbers that come out.

`tests/fixtures/a395940/make.py` calls these functions with the code of that commit and stores what they return.
`test_old_records.py` calls them with today's code and compares. They use only public names and the command line, so
that modules can move.
"""

import contextlib
import hashlib
import io
import json
import os
import pkgutil
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

import alkit
from alkit.configuration.former_names import FORMER

FOLDER = Path(__file__).parents[1] / "fixtures" / "a395940"
CLASSES = ("skin", "lesion")
WIDTHS = partial(alkit.UNet, widths=(2, 4))
PRETEXT = alkit.Reconstruction(WIDTHS, epochs=20)
LONG_AGO = 1_700_000_000
"""Modification time of all answers in files. alkit reads it as their revision, and git does not keep it."""

NETWORK = "--size 16 --grayscale --widths 2,4 --epochs 40,3 --lr 0.01 --pretext-epochs 20 --seed 0".split()
FOLDERS = "--images images --masks masks --classes skin,lesion".split()
RUN = [*FOLDERS, *"--start 4 --batch 2 --test-fraction 0.25".split(), *NETWORK]
CLUSTERED = "--strategy ssl-cluster --param clusters=3 --initial random".split()
START = ["--strategy", "ssl-cluster", *"--images images --classes skin,lesion".split(), *NETWORK]


def command(*arguments, codes=(0,)):
    """Run a command of alkit's, which must end with one of these codes, and return what it prints."""
    from commandline import alkit as run

    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert run(*arguments) in codes, arguments
    return said.getvalue()


def images(folder):
    """Return the pool and the test set of all records but the campaign's."""
    return alkit.ImagePool(folder / "images", size=16, grayscale=True).split(test=0.25, seed=0)


def oracle(folder):
    return alkit.MaskOracle(folder / "masks", classes=CLASSES)


def rounds(experiment):
    """Return the committed rounds, without the seconds they took."""
    return [
        {
            "ids": list(result.ids),
            "labels": result.n_labels,
            "held out": result.n_held_out,
            "metrics": dict(result.metrics),
            "agreement": result.agreement,
        }
        for result in experiment.history
    ]


def predictions(experiment, pool):
    """Return the probabilities of all classes but the first, of the first three images of a pool."""
    some = pool.subset(list(pool.ids)[:3])
    return np.concatenate([np.asarray(batch.probabilities)[:, 1:] for batch in experiment.predict(some)])


def stages(heard):
    """Return a progress callback that adds each stage to a list."""
    return lambda progress: heard.append(progress.stage)


def a_finished_run(folder):
    """Open a record that `alkit run` made, evaluate it again, run one more round, repair it."""
    (pool, test), heard = images(folder), []
    experiment = alkit.Experiment.open(folder / "run.db", pool=pool, report=stages(heard))
    found = {"recorded": rounds(experiment), "spec": list(experiment.spec.classes)}
    found["evaluated"] = dict(experiment.evaluate(test, oracle(folder)))
    found["predicted"] = predictions(experiment, test)
    found["asked"] = list(alkit.Experiment.open(copy_of("run.db"), pool=pool, report=stages(heard)).ask(3))
    assert not {"pretext", "features"}.intersection(heard)  # the clusters come from the record
    command("run", *RUN, *CLUSTERED, "--store", "run.db", "--rounds", "4")
    experiment = alkit.Experiment.open(folder / "run.db")  # it knows the new place of the pool
    found["resumed"] = rounds(experiment)
    found["predicted after"] = predictions(experiment, test)
    command("repair", "run.db", "--out", "repaired.db")
    assert rounds(alkit.Experiment.open(folder / "repaired.db")) == found["resumed"]
    return found


def copy_of(record):
    """Return the path of a copy of a record."""
    shutil.copytree(f"{record}.files", f"copy-{record}.files")
    if Path(f"{record}.journal").exists():
        shutil.copy(f"{record}.journal", f"copy-{record}.journal")
    return shutil.copy(record, f"copy-{record}")


def a_trained_model(folder):
    """Load the last model of a record and predict a folder of images."""
    model = alkit.trained_model(folder / "run.db")
    _, test = images(folder)
    with torch.no_grad():
        probabilities = model.predictor.probabilities(test.read(list(test.ids)[:3]))
    outcome = alkit.predict_folder(model, folder / "images", folder / "predicted", overlays=False)
    masks = [np.asarray(Image.open(path)) for path in sorted((folder / "predicted").rglob("*.png"))]
    return {
        "shape": list(model.shape),
        "size": list(model.reading.size),
        "grayscale": model.reading.grayscale,
        "scale": model.reading.scale,
        "classes": list(model.spec.classes),
        "images": model.origin.images,
        "rounds": len(model.origin.history),
        "tested": model.origin.tested,
        "probabilities": np.asarray(probabilities)[:, 1:],
        "predicted": len(outcome.done),
        "sizes": [list(mask.shape) for mask in masks],
        "share of lesion": [float(mask.mean()) for mask in masks],
    }


def an_exported_model(folder):
    """Run the exported programs, and export the same model again."""
    import onnxruntime
    from safetensors.torch import load_file

    _, test = images(folder)
    some = test.read(list(test.ids)[:3])
    program = torch.export.load(folder / "model" / "model.pt2").module()
    session = onnxruntime.InferenceSession(folder / "model" / "model.onnx", providers=["CPUExecutionProvider"])
    with torch.no_grad():
        found = {"torch": program(torch.from_numpy(some)).numpy()[:, 1:]}
    found["onnx"] = session.run(None, {"images": some})[0][:, 1:]
    command("export", "run.db", "--out", "again")
    before, now = (load_file(folder / name / "model.safetensors") for name in ("model", "again"))
    assert list(before) == list(now)
    assert all(torch.equal(before[name], now[name]) for name in before)
    again = torch.export.load(folder / "again" / "model.pt2").module()
    with torch.no_grad():
        found["exported again"] = again(torch.from_numpy(some)).numpy()[:, 1:]
    found["card"] = sorted(json.loads((folder / "model" / "card.json").read_text()))
    return found


def a_cached_pretext(folder):
    """Find the pretexts of the run and of the campaign in the cache, without training either."""
    (pool, _), heard = images(folder), []
    kept = contents(folder / "cache" / "pretext")
    found = {"files": sorted(kept)}
    for name, some in (("run", pool), ("campaign", alkit.ImagePool(folder / "images", size=16, grayscale=True))):
        fitted = PRETEXT.fit(some, alkit.rng.Stream(0).child("pretext").numpy(), stages(heard))
        found[name] = fitted.features(some.read(list(some.ids)[:3]))
    strategy = alkit.strategy("ssl-cluster", features=PRETEXT, clusters=4)
    experiment = alkit.Experiment(pool, alkit.learners.paper(WIDTHS), strategy, classes=CLASSES, report=stages(heard))
    found["clustered"] = list(experiment.ask(4))
    assert "pretext" not in heard
    assert contents(folder / "cache" / "pretext") == kept
    return found


def contents(folder):
    """Return the digest of each file of weights in a cache folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.safetensors")}


def a_strategy_in_a_file(folder):
    """Resume a run whose strategy is a composition in a TOML file."""
    pool, test = images(folder)
    before = alkit.Experiment.open(folder / "file.db", pool=pool)
    found = {"recorded": rounds(before), "predicted": predictions(before, test)}
    command("run", *RUN, *"--store file.db --rounds 3 --strategy strategy.toml".split())
    after = alkit.Experiment.open(folder / "file.db")
    found |= {"resumed": rounds(after), "predicted after": predictions(after, test), "next": list(after.ask(3))}
    return {**found, "scores": np.array([query.score for query in after.queries()])}


def composition():
    """Return a learner and a strategy that are composed in code of many parts."""
    network = partial(alkit.UNet, widths=(2, 4, 4), heads={2: 0.2})
    single = alkit.SegmentationLearner(network, (20, 3), 5, 0.01, warm_start=alkit.Reconstruction(network, epochs=5))
    members, random = alkit.samplers.Members(), alkit.strategy("random")
    parts = {
        alkit.strategies.Filter(
            alkit.strategies.Uncertainty("bald", members),
            alkit.strategies.DuplicatesLast(random, PRETEXT, 0.9),
            factor=3,
        ): 2,
        alkit.strategies.Stochastic(
            alkit.strategies.Uncertainty(partial(alkit.scores.entropy), members, alkit.scores.total), 2.0
        ): 1.5,
        alkit.strategies.PerCluster(
            alkit.strategies.Uncertainty(alkit.scores.variance, members, partial(alkit.scores.mean)), PRETEXT, 2
        ): 1,
    }
    return alkit.Ensemble(single, 2), alkit.strategies.Then(random, alkit.strategies.Mix(parts), after=3)


def a_composition_in_code(folder):
    """Resume an ensemble with a composed strategy: once built from the record, once passed as arguments."""
    (pool, test), (learner, strategy) = images(folder), composition()
    experiment = alkit.Experiment.open(folder / "composed.db", pool=pool)
    found = {"recorded": rounds(experiment), "strategy": repr(experiment.strategy) == repr(strategy)}
    found["predicted"] = predictions(experiment, test)
    experiment = alkit.Experiment(pool, learner, strategy, folder / "composed.db", seed=3, hold_out=0.3, join="staple")
    experiment.run(oracle(folder), start=4, batch=3, rounds=2)
    found["resumed"] = rounds(experiment)
    found["predicted after"] = predictions(experiment, test)
    return found


def classification(folder):
    """Return a pool of arrays, an oracle that gives classes, and a learner with an estimator of scikit-learn."""
    paths = sorted((folder / "images").glob("*.png"))
    pool = alkit.ArrayPool({path.stem: np.asarray(Image.open(path)) for path in paths})
    shares = {path.stem: np.asarray(Image.open(folder / "masks" / path.name)).mean() for path in paths}
    middle = sorted(shares.values())[len(shares) // 2]
    labels = {id: int(share >= middle) for id, share in shares.items()}
    return pool, alkit.LabelOracle(labels, ("small", "large")), alkit.EstimatorLearner(LogisticRegression(C=0.5))


def an_estimator_of_arrays(folder):
    """Resume a record whose pool and estimator cannot be built from it and are passed."""
    pool, truth, learner = classification(folder)
    experiment = alkit.Experiment.open(folder / "estimator.db", pool=pool, learner=learner)
    found = {"recorded": rounds(experiment), "predicted": predictions(experiment, pool)}
    experiment.run(truth, start=8, batch=4, rounds=2)
    found |= {"resumed": rounds(experiment), "predicted after": predictions(experiment, pool)}
    found["next"] = list(experiment.ask(3))
    return {**found, "scores": np.array([query.score for query in experiment.queries()])}


def smp_network():
    """Return a learner with a network of segmentation-models-pytorch. It is not trained here."""
    unet = partial(smp.Unet, "resnet18", encoder_weights=None)
    return alkit.learners.paper(partial(alkit.networks.SmpNetwork, unet, dropout=0.3, heads={2: 0.1}), epochs=(1, 1))


def a_question_without_a_model(folder):
    """Open a record with a query and no model, and see other settings refused."""
    pool, _ = images(folder)
    own = {"join": "majority", "annotators": 3, "classes": alkit.LabelSpec(CLASSES, ignore=255)}
    strategy = alkit.strategy("mc-dropout", draws=3, score="bald")
    opened = alkit.Experiment.open(folder / "asked.db", pool=pool)
    again = alkit.Experiment(pool, smp_network(), strategy, folder / "asked.db", 5, **own)
    assert again.open_ids == opened.open_ids == again.ask(3)
    refused = []
    for other in (alkit.strategy("mc-dropout", draws=4, score="bald"), alkit.strategy("random")):
        try:
            alkit.Experiment(pool, smp_network(), other, folder / "asked.db", 5, **own)
        except alkit.errors.ResumeError as reason:
            refused.append(type(reason).__name__)
    return {"open": list(again.open_ids), "ignore": opened.spec.ignore, "refused": refused}


def paint(folder, by, query, *, mask=None, ending=".png", text="", later=0):
    """Save an answer as an annotator does. The default mask is the true one."""
    path = folder / "exchange" / by / f"{query['query']}{ending}"
    path.parent.mkdir(exist_ok=True)
    if ending == ".png":
        Image.fromarray(truth(folder, query) if mask is None else mask).save(path)
    else:
        path.write_text(text)
    os.utime(path, (LONG_AGO + later,) * 2)


def truth(folder, query):
    return np.asarray(Image.open(folder / "masks" / f"{query['image']}.png"))


def queries(folder, round):
    """Return the contents of a round's query files, by rank."""
    found = [json.loads(path.read_text()) for path in sorted((folder / "exchange").glob("r*/query.json"))]
    return [query for query in found if query["round"] == round]


def status(store):
    """Return the output of `alkit status`, without times and sentences."""
    said = json.loads(command("status", store, "--json"))
    untold = ("seconds", "stands_for", "warnings", "intervals")  # the last is new: a395940 told no interval
    return {
        **{name: said[name] for name in ("labels", "skipped", "open", "left", "states", "annotators", "measured_on")},
        "problems": [[query["id"], *(entry["kind"] for entry in query["problems"])] for query in said["open_queries"]],
        "rounds": [{key: value for key, value in one.items() if key not in untold} for one in said["rounds"]],
    }


def majority_with_lowest_ties(labels, spec):
    """Return what the rule "majority" returned at a395940, for classes without an ignore value."""
    return np.argmax([np.sum([label == value for label in labels], axis=0) for value in (0, 1)], axis=0).astype(
        np.uint8
    )


def a_campaign_with_people(folder):
    """Resume a campaign: two people answer the open queries, a model is trained, the next images are chosen."""
    for path in (folder / "exchange").glob("*/*"):
        if path.parent.name in ("ann", "ben"):
            os.utime(path, (LONG_AGO,) * 2)
    found = {"found": status("campaign.db")}
    again = json.loads(command("tell", "campaign.db", "--from", "exchange", "--json", codes=(0, 1, 3)))
    found["told again"] = {name: len(answers) for name, answers in again.items() if isinstance(answers, list)}
    command("ask", "campaign.db", "--images", "images", "--out", "exchange")  # both folders have moved
    _, second, third, fourth = queries(folder, 1)
    paint(folder, "ann", second, later=60)
    paint(folder, "ben", second, mask=np.roll(truth(folder, second), 1))
    for by in ("ann", "ben"):
        paint(folder, by, third)
    drawn = Path(folder, "exchange", fourth["query"], "prelabel.png")
    before = alkit.Experiment.open(folder / "campaign.db")
    found["predicted"] = predictions(before, before.pool)
    found["proposed"] = np.asarray(Image.open(drawn)).mean(dtype=float)
    for by in ("ann", "ben"):
        paint(folder, by, fourth, mask=np.asarray(Image.open(drawn)))
        paint(folder, by, fourth, ending=".confirmed")
    told = json.loads(command("tell", "campaign.db", "--json"))
    found["taken"] = len(told["taken"])
    assert told["refused"] == []
    command("ask", "campaign.db", "-n", "3")
    found["then"] = status("campaign.db")
    found["asked"] = [query["image"] for query in queries(folder, 2)]
    heard = []
    experiment = alkit.Experiment.open(folder / "campaign.db", report=stages(heard))
    found["withdrawn"] = list(experiment.withdraw())
    found["asked instead"] = list(experiment.ask(2))
    assert not {"pretext", "features"}.intersection(heard)
    found["predicted after"] = predictions(experiment, experiment.pool)
    return found


USES = (
    a_finished_run,
    a_trained_model,
    an_exported_model,
    a_cached_pretext,
    a_strategy_in_a_file,
    a_composition_in_code,
    an_estimator_of_arrays,
    a_question_without_a_model,
    a_campaign_with_people,
)


def values():
    """Return at least one value of each public kind that a record can name."""
    random, dropout = alkit.strategy("random"), alkit.Dropout(draws=3)
    ranking = alkit.strategies.Uncertainty("bald", dropout)
    learner = alkit.learners.paper(WIDTHS, warm_start=PRETEXT)
    deformed = alkit.Reconstruction(WIDTHS, hold_out=("a", "b"), deformation=alkit.features.Deformation())
    own_score = alkit.strategies.Uncertainty(partial(alkit.scores.entropy), reduction=partial(alkit.scores.mean))
    return {
        "random": random,
        "ssl-cluster": alkit.strategy("ssl-cluster", features=PRETEXT, clusters=3),
        "ssl-cluster by default": alkit.strategy("ssl-cluster"),
        "mc-dropout": alkit.strategy("mc-dropout", draws=3, score="bald"),
        "ensemble-s": alkit.strategy("ensemble-s"),
        "ensemble-js": alkit.strategy("ensemble-js"),
        "ceal": alkit.strategy("ceal", draws=3),
        "dsal": alkit.strategy("dsal"),
        "Then": alkit.strategies.Then(random, ranking, after=3),
        "Filter": alkit.strategies.Filter(ranking, random, factor=2),
        "Mix": alkit.strategies.Mix({random: 1, ranking: 0.5}),
        "Stochastic": alkit.strategies.Stochastic(ranking, 2.0),
        "PerCluster": alkit.strategies.PerCluster(ranking, PRETEXT, 4),
        "DuplicatesLast": alkit.strategies.DuplicatesLast(random, PRETEXT, 0.9),
        "FromFunction": alkit.strategies.FromFunction(alkit.strategies.top_k),
        "Uncertainty by functions": own_score,
        "Uncertainty by names": alkit.strategies.Uncertainty(
            alkit.scores.variance, alkit.samplers.Members(), alkit.scores.total
        ),
        "Uncertainty of heads": alkit.strategies.Uncertainty(alkit.scores.head_disagreement),
        "Deterministic": alkit.samplers.Deterministic(),
        "Dropout": dropout,
        "Members": alkit.samplers.Members(),
        "SegmentationLearner": learner,
        "ClassificationLearner": alkit.ClassificationLearner(WIDTHS, epochs=(3, 1)),
        "EstimatorLearner": alkit.EstimatorLearner(LogisticRegression(C=0.5)),
        "EstimatorLearner by rows": alkit.EstimatorLearner(LogisticRegression(), rows=alkit.scores.total),
        "Ensemble": alkit.Ensemble(learner, members=2),
        "UNet": alkit.UNet,
        "UNet with heads": partial(alkit.UNet, widths=(2, 4, 8), dropout=0.1, heads={2: 0.1, 4: 0.3}),
        "SmpNetwork": smp_network(),
        "Reconstruction": deformed,
        "LabelSpec": alkit.LabelSpec(CLASSES, ignore=255),
        "LabelSpec of images": alkit.LabelSpec(("cat", "dog"), per="image"),
        "Subset": alkit.ArrayPool(np.zeros((3, 4, 4), np.uint8)).subset(["0002", "0000"]),
        "DatasetPool": alkit.DatasetPool([np.zeros((4, 4), np.uint8)] * 2, ids=("a", "b")),
        "LabelOracle": alkit.LabelOracle({"a": 1, "b": "cat"}, ("cat", "dog")),
        "MaskOracle": alkit.MaskOracle({}, CLASSES, values={0: 0, 255: 1}),
        "Stream": alkit.rng.Stream(3, ("a", 1)),
        "Skip": alkit.values.Skip(),
    }


def names():
    """Return the public classes and functions that a user's own part may have as a parameter."""
    found = {name: pkgutil.resolve_name(FORMER.get(name, f"alkit.{name}")) for name in ALL}
    found |= {f"scores.{name}": getattr(alkit.scores, name) for name in SCORES}
    return {**found, "statistics.aubc": alkit.statistics.aubc, "synthetic.lesions": alkit.synthetic.lesions}


ALL = """
ArrayPool ClassificationLearner Clusters DatasetPool Deformation Deterministic Dropout DuplicatesLast Ensemble
EstimatorLearner Experiment Filter FolderOracle FromFunction ImagePool LabelOracle LabelSpec LabelStudioOracle
MaskOracle Members Mix PerCluster Predictions Query Reconstruction RoundResult SegmentationLearner Selection
SmpNetwork State Stochastic Stream Then TrainedModel UNet Uncertainty cluster_order kmeans largest_remainder
stands_for strategy top_k
""".split()
SCORES = """
entropy least_confidence margin bald variance edt_variance edt_variance_both_sides head_disagreement mean total
""".split()
