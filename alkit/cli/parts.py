"""The strategy, the feature extractor and the learner of an experiment, from the options of a command."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from alkit.cli import options
from alkit.cli.naming import naming
from alkit.cli.pairs import WIDTHS, read_integers, read_parameters
from alkit.cli.recipes import RECIPES, STRONG, classifier_of, network_of, parts_of

if TYPE_CHECKING:
    from alkit.configuration.registry import Group
    from alkit.protocols import FeatureExtractor, Learner, Strategy


class Parts(NamedTuple):
    """The parts of an experiment that options choose; `initial` selects the start set, None for the default."""

    learner: Learner
    strategy: Strategy
    initial: Strategy | None

    def extractors(self) -> list[FeatureExtractor]:
        """Return the feature extractors of the strategies."""
        from alkit.strategies.functions import extractors_in

        return [one for part in (self.strategy, self.initial) if part is not None for one in extractors_in(part)]


LEARNER_OF = {"pixel": "segmentation", "image": "classification"}
"""Names of the default learners: of masks, and of classes of images."""


class Eye(NamedTuple):
    """A feature extractor by name, and a clause that says why it is this one; empty if an option names it."""

    name: str
    why: str


@dataclass(frozen=True)
class Choice:
    """Options that choose and configure the parts. None means the default of the part."""

    strategy: options.Strategy = "maxherding"
    initial: options.Initial = None
    features: options.Features = None
    param: options.Param = None
    learner: options.Learner = None
    recipe: options.Recipe | None = None
    widths: options.Widths = None
    steps: options.Steps = None
    epochs: options.Epochs = None
    lr: options.Lr = None
    pretext_epochs: options.PretextEpochs = None
    members: options.Members = None
    warm_start: options.WarmStart = False

    def named(self, per: str = "pixel") -> Choice:
        """Return these options with the name of the learner of masks (``pixel``) or classes (``image``)."""
        return self if self.learner else replace(self, learner=LEARNER_OF[per])

    def eye(self) -> Eye:
        """Return the feature extractor: a pre-trained one if it is installed, unless options ask for another one."""
        from alkit.networks.pretrained import is_installed
        from alkit.strategies.toml import keeps_reconstruction

        if self.features is not None:
            return Eye(self.features, "")
        if self.warm_start:
            return Eye("reconstruction", "because --warm-start takes the weights of its network")
        if self.pretext_epochs is not None:
            return Eye("reconstruction", "because --pretext-epochs is for its training")
        for name in (self.strategy, self.initial):
            if name is not None and keeps_reconstruction(name):
                return Eye("reconstruction", f"which belongs to {name}; --features names another one")
        if is_installed():
            return Eye("pretrained", "because it is installed and needs no training; --features names another one")
        return Eye(
            "reconstruction",
            "because no pre-trained network is installed; pip install 'alkit[pretrained]' installs one",
        )

    @property
    def plain(self) -> bool:
        """Whether options ask for a U-Net without a pre-trained encoder."""
        return self.widths is not None or self.warm_start

    def make(self, device: str = "auto") -> Parts:
        """Make the parts. The learner gets the ensemble or the heads of deep supervision that the strategy needs.

        An option may ask for an ensemble that the strategy does not need, so that strategies can be compared with one
        learner; one member is the learner itself.
        """
        import alkit
        from alkit.errors import ConfigurationError
        from alkit.networks.heads import DEEP_SUPERVISION
        from alkit.protocols import TrainsMembers
        from alkit.strategies.functions import needs_of

        if self.learner is None:
            return self.named().make(device)
        if self.recipe not in (None, *RECIPES):
            raise ConfigurationError(f"--recipe must be {' or '.join(RECIPES)}", got=repr(self.recipe))
        parameters = read_parameters(self.param or ())
        network = functools.partial(alkit.UNet, widths=read_integers("widths", self.widths or WIDTHS, WIDTHS))
        with naming_options("features", parameters["features"]):
            extractor = self._features(parameters["features"], network, device)
        initial = None if self.initial is None else make_strategy(self.initial, extractor, {})
        with naming_options("strategy", parameters["strategy"]):
            strategy = make_strategy(self.strategy, extractor, parameters["strategy"])
        needs = needs_of(strategy)
        trained: Any = network_of(self.recipe or STRONG, network, plain=self.plain)
        if "heads" in needs:
            least = max(DEEP_SUPERVISION).bit_length() + 1
            if trained is network and len(network.keywords["widths"]) < least:
                raise ConfigurationError(
                    f"--widths must have {least} or more integers for --strategy {self.strategy}, whose network has "
                    f"heads at {' and '.join(f'1/{divisor}' for divisor in DEEP_SUPERVISION)} of the size",
                    got=repr(self.widths),
                    hint=f"--widths {WIDTHS}",
                )
            trained = functools.partial(trained, heads=DEEP_SUPERVISION)
        with naming_options("learner", parameters["learner"]):
            learner = self._learner(parameters["learner"], trained, extractor, device)
        if isinstance(learner, TrainsMembers):
            if self.members is not None:
                raise ConfigurationError(
                    "--members is for learners that train one model",
                    got=f"--learner {self.learner}",
                    hint="leave it out",
                )
        elif "members" in needs or self.members not in (None, 1):
            with naming_options("learner", {}):
                learner = alkit.Ensemble(learner, 5 if self.members is None else self.members)
        return Parts(learner, strategy, initial)

    def _features(self, parameters: dict[str, Any], network: Any, device: str) -> FeatureExtractor:
        from alkit.configuration.registry import FEATURES, call, find, load
        from alkit.features.named import check_extractor
        from alkit.features.reconstruction import Reconstruction

        name = self.eye().name
        factory = load(find(name, FEATURES), FEATURES)
        own = {"epochs": 100} if factory is Reconstruction else {}
        typed = {"--pretext-epochs": ("epochs", self.pretext_epochs)}
        parameters = _with_options(name, factory, FEATURES, parameters, typed, own)
        parameters = _with_computing(name, factory, FEATURES, parameters, network, device)
        return check_extractor(f"feature extractor {name!r}", call(name, factory, parameters, FEATURES))

    def _learner(self, parameters: dict[str, Any], network: Any, extractor: FeatureExtractor, device: str) -> Learner:
        from alkit.configuration.registry import LEARNERS, call
        from alkit.errors import ConfigurationError
        from alkit.learners.classification import ClassificationLearner
        from alkit.learners.named import check_learner
        from alkit.learners.recipes import CLASSES, with_length
        from alkit.learners.segmentation import SegmentationLearner
        from alkit.trained.typed import factory_of

        assert self.learner is not None  # see `make`
        factory = factory_of(self.learner)
        masks = factory is SegmentationLearner
        if self.recipe is not None and not masks:
            raise ConfigurationError("--recipe is for the learner segmentation", got=f"--learner {self.learner}")
        if self.steps is not None and self.epochs is not None:
            raise ConfigurationError(
                "--steps and --epochs both set the length of the training", hint="leave one of them out"
            )
        typed = {
            "--steps": ("steps", self.steps and read_integers("steps", self.steps, "300,300", most=2)),
            "--epochs": ("epochs", self.epochs and read_integers("epochs", self.epochs, "30,10", most=2)),
            "--lr": ("lr", self.lr),
            "--warm-start": ("warm_start", extractor if self.warm_start else None),
        }
        given = {**parameters, **{name: value for name, value in typed.values() if value is not None}}
        own = parts_of(self.recipe or STRONG, given) if masks else {}
        if factory is ClassificationLearner:
            own = {"network": classifier_of(network, plain=self.plain), **with_length(CLASSES, given)}
        parameters = _with_options(self.learner, factory, LEARNERS, parameters, typed, own)
        parameters = _with_computing(self.learner, factory, LEARNERS, parameters, network, device)
        if self.widths is not None and "network" not in parameters:
            raise ConfigurationError("--widths is for learners that train a U-Net", got=f"--learner {self.learner}")
        return check_learner(f"learner {self.learner!r}", call(self.learner, factory, parameters, LEARNERS))


def with_given_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of :class:`Choice` in place of its parameter `choice`: those typed, by name."""
    shared = inspect.signature(Choice, eval_str=True).parameters
    own = dict(inspect.signature(command, eval_str=True).parameters)
    del own["choice"]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        typed = {name: given.pop(name) for name in shared}
        command(choice={name: value for name, value in typed.items() if value is not None}, **given)

    every = [*own.values(), *(entry.replace(default=None) for entry in shared.values())]
    every = [entry.replace(kind=entry.KEYWORD_ONLY) for entry in every]
    run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    run.__annotations__ = {entry.name: entry.annotation for entry in every}
    return run


def make_strategy(name: str, features: FeatureExtractor, parameters: Mapping[str, Any]) -> Strategy:
    """Make a strategy by its name or file; it gets `features` if it needs features and brings none of its own."""
    from alkit.configuration.registry import find, load
    from alkit.errors import ConfigurationError
    from alkit.strategies.named import strategy
    from alkit.strategies.toml import read_strategy, takes_features

    if name.endswith(".toml"):
        if parameters:
            raise ConfigurationError(
                f"--param {next(iter(parameters))}: a strategy file holds the parameters of its strategy",
                hint=f"write it into {name}",
            )
        return read_strategy(name, features)
    if "features" not in parameters and takes_features(name, load(find(name))):
        parameters = {"features": features, **parameters}
    return strategy(name, **parameters)


def _with_options(
    name: str,
    factory: Callable[..., object],
    group: Group,
    parameters: Mapping[str, Any],
    typed: Mapping[str, tuple[str, object]],
    own: Mapping[str, Any],
) -> dict[str, Any]:
    """Add to the parameters of a part those that have an option of their own.

    Parameters
    ----------
    parameters:
        From ``--param``.
    typed:
        By option, the parameter and the value that was typed, None if none was.
    own:
        Defaults of the command line for a part of alkit.
    """
    from alkit.configuration.registry import parameters_of
    from alkit.errors import ConfigurationError

    accepted, added = parameters_of(name, factory, group), dict(own)
    for option, (parameter, value) in typed.items():
        if value is None:
            continue
        if parameter not in accepted:
            raise ConfigurationError(
                f"{option}: {group.noun} {name!r} has no parameter {parameter}", hint=f"leave {option} out"
            )
        if parameter in parameters:
            raise ConfigurationError(f"{option} and --param give {parameter} of {group.noun} {name!r} twice")
        added[parameter] = value
    return {**added, **parameters}


def _with_computing(
    name: str, factory: Callable[..., object], group: Group, parameters: dict[str, Any], network: Any, device: str
) -> dict[str, Any]:
    """Add the device if the part has a parameter for it, and the U-Net if that is its default network."""
    import alkit
    from alkit.configuration.registry import parameters_of

    accepted, added = parameters_of(name, factory, group), dict[str, Any]()
    if "device" in accepted:
        added["device"] = device
    if "network" in accepted and accepted["network"].default is alkit.UNet:
        added["network"] = network
    return {**added, **parameters}


OPTIONS = {
    "strategy": {},
    "features": {
        "epochs": "--pretext-epochs",
        "widths": "--widths",
        **{name: f"--param features.{name}" for name in ("model", "weights", "download", "pooling", "levels", "size")},
    },
    "learner": {
        "steps": "--steps",
        "epochs": "--epochs",
        "lr": "--lr",
        "warm_start": "--warm-start",
        "widths": "--widths",
        "members": "--members",
    },
}
"""By part, the options for parameters of the part that messages name."""


def naming_options(part: str, parameters: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Name options in an error about a part: ``--param`` for the parameters that were given with it."""
    from alkit.cli.wording import PARAM
    from alkit.errors import ConfigurationError

    prefix = "" if part == "strategy" else f"{part}."
    return naming(OPTIONS[part] | {name: f"{PARAM}{prefix}{name}" for name in parameters}, ConfigurationError)
