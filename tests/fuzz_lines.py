"""Random command lines, seeded: most of them wrong in a known way, some that may be right."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import yaml
from fuzz_contradictions import POINTS, contradictions


class Line(NamedTuple):
    """A command line.

    command: of glass.
    words: its arguments.
    wrong: whether it must be refused; of any other either is right.
    named: for each part that the refusal must name, ways to write it.
    """

    command: str
    words: list[str]
    wrong: bool = True
    named: tuple[tuple[str, ...], ...] = ()


STEERINGS = (
    "fk",
    "none",
    "best_of_n",
    "bfs",
    "dfs",
    "rbf",
    "svdd",
    "dts",
    "noise_search",
    "evolution",
)
HYDRA = ("sample", "sweep", "eval", "plan")
# what a key of each kind cannot be
KINDS = {
    "int": ["many", "1.5", "true", "[1]", "{a: 1}", "1e3x", "٣", "８", "'two words'", "猫"],
    "float": ["wide", "false", "[1.0]", "{a: 1}", "nan", "０.5", "1.5x", "naïve"],
    "bool": ["perhaps", "3", "[true]", "{a: true}", "ja"],
    "choice": ["nothing", "3", "[1]", "{a: b}", "GLASS", "ünï", "🍎"],
    "list": ["word", "{a: 1}", "true"],
}
# key -> what must be chosen, its kind, values out of range
KEYS: dict[str, tuple[list[str], str, list[str]]] = {
    "particles": ([], "int", ["0", "-1", "1000001", "99999999999999999999"]),
    "seed": ([], "int", ["-1", "9223372036854775808"]),
    "micro_batch": ([], "int", ["0", "-8", "null"]),
    "calls": ([], "int", ["0", "-3", "1000001"]),
    "budget": ([], "int", ["0", "-400", "1000001"]),
    "dtype": ([], "choice", ["float64", "int8", "null"]),
    "device": ([], "choice", ["gpu", "cuda:x", "cuda:-1", "tpu"]),
    "fresh": ([], "bool", ["null", "1"]),
    "thumbnails": ([], "bool", ["2", "always"]),
    "wandb.mode": ([], "choice", ["on", "dryrun", "null"]),
    "wandb.init_timeout": ([], "float", ["0", "-1", "null"]),
    "launcher.threads": ([], "int", ["0", "-1"]),
    "sampler.transitions": ([], "int", ["0", "-1", "1000001"]),
    "sampler.steps": ([], "int", ["0", "-2", "1000001"]),
    "sampler.order": ([], "choice", ["0", "3", "-1", "null"]),
    "sampler.rho": ([], "choice", ["2", "-1.5", "inf", "[0.1]", "[[0,2]]"]),
    "sampler.kappa": ([], "float", ["-1", "null"]),
    "sampler.times": ([], "choice", ["[0]", "[0,2]", "[1,0]", "[0,0.5,0.5,1]", "[]", "null"]),
    "sampler.inner": ([], "choice", ["t", "null"]),
    "sampler.method": (["sampler=ode"], "choice", ["rk4", "null"]),
    "sampler.start": (["sampler=sde"], "float", ["-0.1", "1.5", "null"]),
    "steering.lam": ([], "choice", ["[1]", "-inf", "nan"]),
    "steering.ess_threshold": ([], "float", ["-0.1", "1.5", "null"]),
    "steering.window": ([], "list", ["[0.9,0.1]", "[0,2]", "[0]", "[a,b]", "null"]),
    "steering.guidance_window": ([], "list", ["[0.9,0.1]", "[-1,1]", "[0.1,0.2,0.3]"]),
    "steering.every": ([], "int", ["0", "-1", "null"]),
    "steering.value_samples": ([], "int", ["0", "null"]),
    "steering.potential": ([], "choice", ["min", "null"]),
    "steering.resampling": ([], "choice", ["sistematic", "null"]),
    "steering.tempering": ([], "choice", ["log", "null"]),
    "steering.sizes": ([], "choice", ["[]", "[0,1]", "[a]", "[8,-1]"]),
    "steering.guidance": ([], "float", ["-1", "inf", "null"]),
    "steering.offspring": (["steering=svdd"], "int", ["0", "-1", "null"]),
    "steering.at_once": (["steering=rbf"], "int", ["0", "null"]),
    "steering.radius": (["steering=noise_search"], "float", ["-0.5", "1.5", "null"]),
    "steering.quantile": (["steering=dfs"], "float", ["-0.5", "1.5", "null"]),
    "steering.back": (["steering=dfs"], "int", ["0", "-1", "null"]),
    "steering.first": (["steering=evolution"], "float", ["0", "1.5", "-1", "null"]),
    "steering.keep": (["steering=evolution"], "float", ["0", "1.5", "-1", "null"]),
    "steering.crossover": (["steering=evolution"], "int", ["-1", "null", "0.5"]),
    "steering.children": (["steering=evolution"], "int", ["0", "-1", "null"]),
    "steering.widening": (["steering=dts"], "float", ["0", "-1", "null"]),
    "model.dim": (["model=gaussian_mixture"], "int", ["0", "-2", "null"]),
    "model.components": (["model=gaussian_mixture"], "int", ["0", "null"]),
    "model.std": (["model=gaussian_mixture"], "float", ["0", "-1", "inf", "null"]),
    "reward.direction": (POINTS[:2], "list", ["[]", "[a]", "[1,2,3]", "null"]),
    "reward.batch": ([], "int", ["0", "-1", "null"]),
    "reward.dtype": ([], "choice", ["float64", "null"]),
    "metrics": ([], "list", ["[nothing]", "[3]", "[{clip: 3}]"]),
    "prompts": ([], "list", ["[]", "[' ']", "nowhere/prompts.txt"]),
    "limit": ([], "int", ["0", "-1"]),
    "name": ([], "choice", ["a/b", "../up", "x" * 101, "/etc"]),
    "model": ([], "choice", ["sd4", "fluxdev", "../conf/model/emoji", "/etc/passwd"]),
    "steering": ([], "choice", ["fks", "feynman_kac", "true"]),
    "launcher": ([], "choice", ["slurm", "rays"]),
}
# of a kind where these are values like others
_ALSO = {
    "steering.window": {"true"}, "name": {"nothing", "GLASS", "ünï", "🍎"},
    "prompts": {"word", "true"}, "steering.sizes": set(), "sampler.rho": {"[1]"},
    "launcher.threads": set(), "reward.direction": set(),
}  # fmt: skip
_ACCEPTED = {
    "name": {"nothing", "3", "GLASS", "ünï", "🍎"},
    "sampler.order": set(),
    "sampler.rho": set(),
    "steering.lam": {"3"},
    "sampler.times": set(),
}
MISSPELT = [
    "particels", "sampler.stepz", "steering.lamda", "wandb.moed", "model.guidence", "sed",
    "reward.bach", "sampler", "глаз", "pаrticles", "猫", "steering..lam", "a.b.c", "🍎",
    "PARTICLES", "hydra.rum.dir", "sampler.rho.x", "_target_", "model.nothing.deep.down",
]  # fmt: skip
ODD = [
    "particles", "=3", "==", "a photo of a dog", "[1,2]", "{a: 1}", "sampler.times=[0,1",
    "sampler.rho='0.3", "particles=${nothing}", "seed=${oc.env:NOTHING_OF_THE_KIND}",
    "particles={a", "--particles=3", "--nothing", "-x", "-cd", "--config-dir=nowhere",
    "--cfg=nothing", "-m=3", "particles=range(1,0)", "particles=glob(*)", "particles=choice()",
    "particles=interval(a,b)", "\x1b[31mred", "particles=\x00", "particles=a\nb", "~nothing",
    "+particles=3", "hydra.run.dir=/proc/nothing/here", "hydra.sweep.dir=", "hydra.mode=X",
]  # fmt: skip

# that one may write nonetheless
_STANDS = ("+particles=3", "hydra.sweep.dir=", "particles=range(1,0)")


_OF_EVAL: list[tuple[str, list[str], list[str]]] = [
    ("eval", [POINTS[0], "benchmark=geneval"], ["benchmark=geneval", "gaussian_mixture"]),
    ("eval", ["prompt=a dog"], ["prompt="]),
    ("eval", ["prompts=[a dog]"], ["prompts="]),
    ("eval", ["limit=3"], ["limit=", "benchmark.limit"]),
    ("eval", ["benchmark=prompts"], ["benchmark.path"]),
    ("eval", ["benchmark=genevl"], ["genevl"]),
    ("eval", ["benchmark.limit=0"], ["benchmark.limit", "0"]),
    ("eval", ["benchmark.images=-1"], ["benchmark.images", "-1"]),
    ("eval", ["benchmark=compose", "benchmark.atoms=[8,2]"], ["benchmark.atoms"]),
    ("eval", ["benchmark=compose", "benchmark.atoms=x"], ["benchmark.atoms", "x"]),
    ("eval", ["benchmark.detector=yolo"], ["benchmark.detector", "yolo"]),
    ("eval", ["benchmark=window", "benchmark.first=0.9", POINTS[0]], ["benchmark.first", "0.9"]),
    ("eval", ["benchmark=posterior", "benchmark.times=[]", POINTS[0]], ["benchmark.times"]),
    ("plan", [POINTS[0], "budget=0"], ["budget", "0"]),
    ("plan", [POINTS[0], "budget=100", "benchmark.samples=1"], ["benchmark.samples", "1"]),
    ("plan", [POINTS[0], "budget=100", "reward=null"], ["reward"]),
    ("sample", ["benchmark=geneval"], ["benchmark", "eval"]),
    ("sweep", [POINTS[0], "budget=10", "calls=10", "particles=1,2"], ["particles=2", "budget=10"]),
    ("sweep", [POINTS[0], "steering=rbf,fk", "sampler=sde,ode"], ["steering=rbf", "sampler=ode"]),
    ("sample", [POINTS[0], "particles=1,2"], ["particles=1,2", "sweep"]),
    ("sweep", [POINTS[0], "reward=linear,clip"], ["reward=clip"]),
]
_OF_FOLDERS: list[tuple[str, list[str], list[str]]] = [
    ("compare", ["nowhere", "here"], ["nowhere"]),
    ("compare", ["empty"], ["empty"]),
    ("compare", ["empty", "--rank", "best"], ["empty"]),
    ("compare", ["empty", "--nothing"], ["--nothing"]),
    ("compare", ["empty", "--label"], ["--label"]),
    ("compare", ["file.txt", "empty"], ["file.txt"]),
    ("compare", ["table.csv"], ["table.csv"]),
    ("compare", [], ["Missing argument"]),
    ("report", ["nowhere"], ["nowhere"]),
    ("report", ["file.txt"], ["file.txt"]),
    ("report", ["empty", "--max-mb", "0"], ["--max-mb"]),
    ("report", ["empty", "--trees", "-1"], ["--trees"]),
    ("report", ["empty", "--max-mb", "viel"], ["--max-mb"]),
    ("report", ["empty", "--out"], ["--out"]),
    ("report", ["猫"], ["猫"]),
    ("sheet", ["nowhere"], ["nowhere"]),
    ("sheet", ["empty", "-o", "sheet.png"], ["empty"]),
    ("sheet", ["file.txt", "empty"], ["file.txt"]),
    ("sheet", ["--out", "x.png"], ["Missing argument"]),
    ("score", ["nowhere", "metrics=[clip]"], ["nowhere"]),
    ("score", ["empty"], ["metrics"]),
    ("score", ["empty", "metrics=[nothing]"], ["nothing"]),
    ("score", ["metrics=[clip]"], ["folder"]),
    ("score", ["empty", "metrics=[clip]", "particles=3"], ["particles"]),
    ("score", ["empty", "metrics=[clip]", "device=gpu"], ["device", "gpu"]),
    ("score", ["empty", "metrics=[clip]", "dtype=float64"], ["dtype", "float64"]),
    ("score", ["empty", "metrics=["], ["metrics"]),
    ("score", ["empty", "metrics=[{clip: {bach: 3}}]"], ["bach"]),
]


def _ways(value: str) -> tuple[str, ...]:
    """How a message may write a value: as typed, or as it was read."""
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        read = value
    texts = [value, value.strip("'"), str(read), repr(read), value.replace(",", ", ")]
    if isinstance(read, list):  # as the numbers or settings within, of which one is wrong
        texts += [f"{word} {inner}" for inner in read for word in ("got", "unknown metric")] + [
            str(tuple(read))
        ]
        texts += [str([float(x) for x in read])] if all(type(x) is int for x in read) else []
        texts += ["an empty list"] if not read else ["an empty prompt"] if read == [" "] else []
    return tuple(" ".join(text.split())[:30] for text in texts)


def _of_a_key(rng: random.Random) -> Line:
    """A value of the wrong kind, or out of range, under a key that there is."""
    key = rng.choice(sorted(KEYS))
    chosen, kind, beyond = KEYS[key]
    pool = [v for v in KINDS[kind] if v not in _ACCEPTED.get(key, _ALSO.get(key, set()))]
    value = rng.choice([*pool, *beyond, *beyond])
    command = rng.choice(HYDRA)
    command = "sample" if key in ("prompts", "limit") else command
    word, words = f"{key}={value}", list(chosen)
    if command == "sweep":
        word, others = f"{key}={value}", ["seed=0,1"]
        words += [] if key == "seed" else others
    if command == "plan" and key.startswith(("steering", "budget")):
        command = "eval"
    if command == "plan":
        words += [] if key == "budget" else ["budget=100"]
    rng.shuffle(words)
    named = (tuple({key, key.rpartition(".")[2], key.rstrip("s")}), _ways(value))
    return Line(command, [*words, word], named=named)


def _misspelt(rng: random.Random) -> Line:
    key, value = rng.choice(MISSPELT), rng.choice(["3", "x", "[1]", "null", "ü"])
    prefix = rng.choice(["", "", "++"]) if key.isascii() and key != "sampler" else ""
    above, _, _ = key.rpartition(".")  # where that takes any value, it may be at fault itself
    ways = (key, f"unknown key {key.partition('.')[0]}", *([above] if above else []))
    return Line(rng.choice(HYDRA[:3]), [f"{prefix}{key}={value}"], named=(ways,))


def _odd(rng: random.Random) -> Line:
    word = rng.choice(ODD)
    return Line(rng.choice(("sample", "eval")), [word], wrong=word not in _STANDS)


def _listed(rows: Sequence[tuple[str, list[str], list[str]]]) -> Callable[[random.Random], Line]:
    def one(rng: random.Random) -> Line:
        command, words, named = rng.choice(rows)
        return Line(command, list(words), named=tuple((name,) for name in named))

    return one


def perhaps_right(rng: random.Random) -> Line:
    """Settings of a run on points that each could stand."""
    transitions = rng.choice([1, 2, 3])
    pool = [
        f"particles={rng.choice([1, 2, 3, 5])}", f"seed={rng.randrange(9)}",
        f"micro_batch={rng.choice([1, 3])}", f"calls={rng.choice([3, 4, 6])}",
        f"budget={rng.choice([6, 12, 25])}", f"sampler={rng.choice(['glass', 'ode', 'sde'])}",
        f"steering={rng.choice(STEERINGS)}",
        f"steering.guidance={rng.choice([0, 0.5])}", f"model.dim={rng.choice([1, 2, 3])}",
        f"sampler.times={rng.choice(['uniform', 'schedule', '[0,0.4,1]'])}",
        f"steering.lam={rng.choice(['auto', 'null', 0, 2, -1, 1000])}",
        f"steering.sizes={rng.choice(['halving', '[4,2]', '[3,3,1]'])}",
        f"steering.resampling={rng.choice(['ssp', 'residual', 'multinomial'])}",
        f"sampler.rho={rng.choice([-1, 0, 1, 'ddpm', '[[0,ddpm],[0.5,0.2]]'])}",
        f"steering.window={rng.choice(['[0,0]', '[1,1]', '[0.3,0.6]'])}",
        f"reward.direction={rng.choice(['[0]', '[1,-1]', '[1e30]'])}",
        f"prompt={rng.choice(['猫', '-', 'a=b', '${x}', '%s'])}", "dtype=bfloat16",
        f"steering.tempering={rng.choice(['linear', 'ess'])}", "metrics=[linear]",
        f"sampler.kappa={rng.choice([0.1, 3])}", f"model.std={rng.choice([0.01, 5])}",
    ]  # fmt: skip
    words = [*POINTS, f"sampler.transitions={transitions}", *rng.sample(pool, rng.randint(1, 4))]
    return Line("sample", words, wrong=False)


def lines(count: int, seed: int = 0) -> Iterator[Line]:
    """``count`` lines; of 300, 50 are pairs that contradict each other."""
    rng = random.Random(seed)
    pairs, folders = contradictions(), list(_OF_FOLDERS)
    rng.shuffle(pairs)
    rng.shuffle(folders)
    makers = [_of_a_key] * 9 + [_misspelt, _odd, _odd, _listed(_OF_EVAL), perhaps_right]
    for number in range(count):
        if number % 6 == 0 and pairs:
            words, named = pairs.pop()
            parts = list(words)
            rng.shuffle(parts)
            yield Line("sample", parts, named=tuple((name,) for name in named))
        elif number % 6 == 3 and folders:
            yield _listed([folders.pop()])(rng)
        else:
            yield rng.choice(makers)(rng)
