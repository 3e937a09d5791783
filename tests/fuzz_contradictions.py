"""Settings that each could stand and that do not together."""

from __future__ import annotations

from collections.abc import Sequence

POINTS = ["model=gaussian_mixture", "reward=linear", "wandb.mode=disabled"]


def contradictions() -> list[tuple[list[str], list[str]]]:
    """Settings that each could stand and that do not together, and what the refusal names."""
    p, s = POINTS[0], "steering"
    found: list[tuple[list[str], list[str]]] = [
        ([p, f"{s}={x}", "sampler=ode"], [f"{s}={x}", "sampler=ode"])
        for x in ("rbf", "svdd", "dts")
    ]
    scored = ("fk", "bfs", "dfs", "best_of_n", "rbf", "svdd", "dts", "evolution", "noise_search")
    found += [([p, f"{s}={x}", "reward=null"], [f"{s}={x}"]) for x in scored]
    found += [
        ([p, f"{s}=auto"], [f"{s}=auto", "budget"]),
        ([f"{s}=auto", "reward=null", "budget=100"], [f"{s}=auto"]),
        ([p, f"{s}=none", "reward=null", f"{s}.guidance=1"], [f"{s}.guidance"]),
        ([p, "reward=clip"], ["reward=clip", "gaussian_mixture"]),
        ([p, "reward=imagereward"], ["reward=imagereward", "gaussian_mixture"]),
        ([p, "reward=aesthetic"], ["reward=aesthetic", "gaussian_mixture"]),
        ([p, "metrics=[detector]"], ["metrics=detector", "gaussian_mixture"]),
        (["reward=linear", "model=emoji"], ["reward=linear", "model=emoji"]),
        (["metrics=[linear]", "model=emoji"], ["metrics=linear", "emoji"]),
        ([p, "metrics=[clip]"], ["metrics=clip", "gaussian_mixture"]),
        ([p, f"{s}=none", "reward=null", "sampler.times=auto"], ["sampler.times=auto"]),
        ([p, "reward.direction=[1,2,3]", "model.dim=2"], ["3", "2"]),
        (["reward=ocr", f"{s}.guidance=1", "prompt=a sign: 'Hi'"], ["reward=ocr", f"{s}.guidance"]),
        (["reward=http"], ["reward.url"]),
        (["reward=python"], ["reward.target"]),
        (["prompt=a dog", "prompts=[a cat]"], ["prompt=", "prompts="]),
        ([p, "sampler=ode", "sampler.rho=0.3"], ["sampler.rho"]),
        ([p, "sampler=sde", "sampler.kappa=1"], ["sampler.kappa"]),
        ([p, "model.guidance=3"], ["model.guidance"]),
        ([f"{s}=best_of_n", f"{s}.lam=3"], [f"{s}.lam"]),
        ([p, "reward.batch=3"], ["reward.batch"]),
        ([p, f"{s}=none", f"{s}.sizes=halving"], [f"{s}.sizes"]),
        ([p, f"{s}=dfs", f"{s}.every=2"], [f"{s}.every"]),
        ([p, "experiment=paper/table1_flow"], ["paper/table1_flow"]),
    ]  # fmt: skip
    numbers: list[tuple[Sequence[object], list[str]]] = [
        (("budget", 100, "calls", 20, "particles", 8), ["budget=100", "calls=20", "particles=8"]),
        (("budget", 160, "calls", 50, "particles", 8), ["budget=160", "calls=50", "particles=8"]),
        (("budget", 3, "calls", 20), ["budget=3", "calls=20"]),
        (("budget", 5, "particles", 8), ["budget=5", "8"]),
        (("budget", 30, "particles", 8, "sampler.transitions", 5), ["budget=30"]),
        (("calls", 3, "sampler.transitions", 5), ["calls=3", "5"]),
        (("calls", 10, "sampler.steps", 4, "sampler.transitions", 5), ["calls=10", "4"]),
        (("calls", 2, "sampler.times", "[0,0.3,0.6,1]"), ["calls=2", "3"]),
        (("steering.sizes", "[8,4]", "sampler.transitions", 5), ["steering.sizes", "5"]),
        (("steering.sizes", "[8,4,2,2,1]", "particles", 4), ["steering.sizes", "particles=4"]),
        (("steering.sizes", "[8,8,4,4,2]", "budget", 10), ["budget=10"]),
        (("sampler.steps", 1001, "sampler.transitions", 1000), ["sampler.steps=1001", "1000"]),
        (("budget", 40, "sampler.steps", 10, "sampler.transitions", 5), ["budget=40", "steps=10"]),
        (("sampler.times", "[0,0.5,1]", "sampler.steps", 600000), ["sampler.steps=600000"]),
        (("steering.window", "[0.8,0.2]"), ["steering.window"]),
    ]  # fmt: skip
    for words, named in numbers:
        pairs = [f"{words[i]}={words[i + 1]}" for i in range(0, len(words), 2)]
        found.append(([p, *pairs], named))
    return found
