"""Which settings would make a trainer deterministic: those of the libraries that were seen in it, for what differed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from exptui.core.audit.conformity import TWICE, Row
from exptui.core.runs import environment
from exptui.core.runs.run import Recipe

Topic = Literal["twice", "threads"]
MOST_FILES, MOST_BYTES = 400, 1 << 20
SUFFIXES = (".py", ".rs")
INSTALLED = {"scikit_learn": "sklearn", "pytorch_lightning": "lightning"}
_IMPORT = re.compile(r"^[ \t]*(?:from|import)[ \t]+(\.*\w[\w.]*)(?:[ \t]*,[ \t]*(\w[\w.]*))*", re.MULTILINE)


class Seen(NamedTuple):
    """What is known of a trainer's source: the packages it uses, and its text, empty where none was found."""

    packages: frozenset[str]
    text: str
    how: str


class Remedy(NamedTuple):
    """Of a package: what to set, where `needs` is in the source and `unless` is not."""

    package: str
    topic: Topic
    text: str
    needs: str = ""
    unless: str = ""


REMEDIES = (
    Remedy("random", "twice", "random.seed(seed)", unless=r"random\.seed\(|Random\(\w"),
    Remedy(
        "numpy",
        "twice",
        "numpy.random.default_rng(seed), or numpy.random.seed(seed)",
        r"\brandom\b",
        r"(?:np|numpy)\.random\.(?:seed|default_rng|RandomState)\(\s*[^)\s]",
    ),
    Remedy("torch", "twice", "torch.manual_seed(seed)", unless=r"manual_seed|seed_everything|set_seed"),
    Remedy(
        "torch",
        "twice",
        "torch.use_deterministic_algorithms(True): it names each operation that is not",
        unless="use_deterministic_algorithms|full_determinism|deterministic=True",
    ),
    Remedy(
        "torch",
        "twice",
        "torch.backends.cudnn.benchmark = False",
        r"cuda|cudnn",
        r"cudnn\.benchmark\s*=\s*False",
    ),
    Remedy(
        "torch",
        "twice",
        "DataLoader(…, generator=torch.Generator().manual_seed(seed), worker_init_fn=…): its order, and a seed for "
        "each worker; or num_workers=0",
        "DataLoader",
        r"generator\s*=",
    ),
    Remedy(
        "torch",
        "threads",
        "torch.set_num_threads(n): a sum depends on how it is split",
        unless="set_num_threads",
    ),
    Remedy("lightning", "twice", "seed_everything(seed, workers=True)", unless="seed_everything"),
    Remedy("lightning", "twice", "Trainer(deterministic=True)", unless=r"deterministic\s*="),
    Remedy(
        "transformers",
        "twice",
        "TrainingArguments(seed=…, data_seed=…, full_determinism=True)",
        unless="full_determinism",
    ),
    Remedy("sklearn", "twice", "random_state=seed, of each estimator and split", unless=r"random_state\s*="),
    Remedy("sklearn", "threads", "n_jobs=1", r"n_jobs"),
    Remedy("xgboost", "twice", "seed=… (random_state=…)", unless=r"\bseed\b|random_state"),
    Remedy("xgboost", "threads", "nthread=1 (n_jobs=1)"),
    Remedy(
        "lightgbm",
        "twice",
        "deterministic=True, force_row_wise=True, seed=…",
        unless=r"deterministic\s*[=:'\"]",
    ),
    Remedy("lightgbm", "threads", "num_threads=1"),
    Remedy("tensorflow", "twice", "tf.keras.utils.set_random_seed(seed)", unless="set_random_seed"),
    Remedy(
        "tensorflow",
        "twice",
        "tf.config.experimental.enable_op_determinism()",
        unless="enable_op_determinism",
    ),
    Remedy("keras", "twice", "keras.utils.set_random_seed(seed)", unless="set_random_seed"),
    Remedy(
        "jax",
        "twice",
        "XLA_FLAGS=--xla_gpu_deterministic_ops=true by [trainer] environment.set, on a GPU",
        unless="xla_gpu_deterministic_ops",
    ),
    Remedy(
        "jax",
        "twice",
        "jax.random.key(seed), with a seed of the config",
        unless=r"random\.(?:PRNGKey|key)\(\s*\w",
    ),
    Remedy("stable_baselines3", "twice", "seed=… of the model (PPO(…, seed=seed))", unless=r"seed\s*="),
    Remedy("gymnasium", "twice", "env.reset(seed=seed)", unless=r"reset\(\s*seed"),
    Remedy("uuid", "twice", "no uuid4() in an output", "uuid4"),
    Remedy(
        "rust",
        "twice",
        "no HashMap or HashSet where the order counts: each process has another one; BTreeMap has none",
        r"HashMap|HashSet",
    ),
    Remedy(
        "rust",
        "twice",
        "StdRng::seed_from_u64(seed) in place of the thread's generator",
        r"thread_rng|rand::rng\(",
    ),
    Remedy(
        "rust",
        "threads",
        "a fixed order of sums: collect before summing, no par_iter().sum()",
        r"par_iter|rayon",
    ),
)


def seen(recipe: Recipe, project: Path) -> Seen:
    """What the trainer's source says: the declared code, the scripts in its command, and what they import beside them."""
    texts = {path: text for path in _sources(recipe, project) if (text := _text(path)) is not None}
    packages = {name.partition(".")[0] for text in texts.values() for name in _imports(text)}
    if any(path.suffix == ".rs" for path in texts):
        packages.add("rust")
    if texts:
        names = sorted({path.name for path in texts})
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return Seen(frozenset(packages), "\n".join(texts.values()), f"in {', '.join(names[:3])}{more}")
    installed = environment.packages(Path(recipe.argv[0]))
    plain = [name.lower().replace("-", "_") for name in installed]
    return Seen(
        frozenset(INSTALLED.get(name, name) for name in plain), "", "installed; its source was not found"
    )


def remedies(found: Seen, rows: Iterable[Row], recipe: Recipe) -> tuple[str, ...]:
    """What to set, for what differed; nothing where two unchanged runs were the same and one core made no difference."""
    topics = set(_topics(rows))
    named = [
        f"{one.package}: {one.text}"
        for one in REMEDIES
        if one.package in found.packages
        and one.topic in topics
        and (not one.needs or re.search(one.needs, found.text))
        and not (one.unless and re.search(one.unless, found.text))
    ]
    return (*named, *(_of_environment(recipe, topics) if topics else ()))


def _topics(rows: Iterable[Row]) -> Iterator[Topic]:
    for row in rows:
        if row.name == TWICE and row.status == "differs":
            yield "twice"
        if row.name == "one core" and (row.status == "differs" or (row.status == "not judged" and row.hint)):
            yield "threads"


def _of_environment(recipe: Recipe, topics: set[Topic]) -> Iterator[str]:
    """What the clean environment fixes, and the settings let go of again."""
    for name, value in {
        **environment.FIXED,
        **{f"{one}_NUM_THREADS": "" for one in environment.THREADS},
    }.items():
        fixed = name in ("PYTHONHASHSEED", "CUBLAS_WORKSPACE_CONFIG") and recipe.set.get(name, value) != value
        if name in recipe.passed or fixed:
            yield f"environment: leave {name} to exptui, which sets it to {value or 'the threads of [queue]'}"
    if "threads" in topics and recipe.threads > 1:
        yield "environment: threads = 1 in [queue] (OMP_, OPENBLAS_, MKL_, NUMEXPR_, RAYON_NUM_THREADS)"


def _sources(recipe: Recipe, project: Path) -> Iterator[Path]:
    """Files of source, each once, those that a script imports from beside it behind it."""
    places = [project / entry for entry in recipe.code]
    places += [Path(recipe.cwd) / word for word in recipe.argv[1:] if word.endswith(SUFFIXES)]
    if "-m" in recipe.argv:
        module = recipe.argv[recipe.argv.index("-m") + 1 :][:1]
        parts = [word.replace(".", "/") for word in module]
        places += [
            Path(recipe.cwd, top, f"{part}{end}")
            for part in parts
            for top in ("", "src")
            for end in ("", ".py")
        ]
    places += [project / "src"] if (project / "Cargo.toml").is_file() else []
    known: set[Path] = set()
    while places and len(known) < MOST_FILES:
        place = places.pop(0)
        if place.is_dir():
            places += sorted(path for path in place.rglob("*") if path.suffix in SUFFIXES)[:MOST_FILES]
        elif place.is_file() and place.suffix in SUFFIXES and place not in known:
            known.add(place)
            yield place
            names = _imports(_text(place) or "") if place.suffix == ".py" else ()
            places += [place.parent / f"{name.lstrip('.').replace('.', '/')}.py" for name in names]


def _imports(text: str) -> list[str]:
    return [
        name for match in _IMPORT.finditer(text) for name in match[0].replace(",", " ").split()[1:] if name
    ]


def _text(path: Path) -> str | None:
    """A file of source; None where it is too large, or not to be read."""
    try:
        return path.read_text(errors="replace") if path.stat().st_size <= MOST_BYTES else None
    except OSError:
        return None
