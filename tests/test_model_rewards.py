"""A model's own reward, rewards of the emoji world alone, and words that a model does not know."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from conftest import REPOSITORY

from glass_cli.common.errors import GlassError
from glass_cli.config.command_line import read_arguments
from glass_cli.config.composition import composing
from glass_cli.config.listing import choices, render
from glass_cli.config.preflight import preflight
from glass_cli.embedded.world.content import training_content
from glass_cli.embedded.world.grammar import random_prompt
from glass_cli.embedded.world.objects import CLASSES, COLORS
from glass_cli.launch import launch
from glass_cli.models import emoji_world
from glass_cli.models.diffusers_pipeline import DiffusersPipeline
from glass_cli.output.writer import RunFolder
from glass_cli.studies.base import measured_parts

CONF = REPOSITORY / "conf"
OWN = {"gaussian_mixture": "linear"}  # all others are of photographs
MODELS = sorted(choices("model", [CONF]))
EMOJI = CONF.parent / "glass_cli" / "embedded" / "weights" / "emoji"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", ["config", "eval"])
def test_each_model_has_its_reward_unless_another_is_asked_for(
    command: str, tmp_path: Path
) -> None:
    experiments = tmp_path / "my_conf" / "experiment"
    experiments.mkdir(parents=True)
    for model in MODELS:
        lines = ["# @package _global_", "defaults:", f"  - override /model: {model}"]
        (experiments / f"{model}.yaml").write_text("\n".join(lines))
        lines.append("  - override /reward: ocr")
        (experiments / f"{model}_ocr.yaml").write_text("\n".join(lines))
    with composing(CONF, tmp_path / "my_conf", command) as composer:
        # an evaluation's settings have those of a run among their defaults
        few = ["emoji", "flux_dev", *OWN]
        for model in MODELS if command == "config" else few:
            cases = [
                ([f"model={model}"], OWN.get(model, "imagereward")),
                ([f"experiment={model}"], OWN.get(model, "imagereward")),
            ]
            if model in few:
                cases += [
                    ([f"model={model}", "reward=clip"], "clip"),
                    (["reward=python", f"model={model}"], "python"),
                    ([f"experiment={model}_ocr"], "ocr"),
                ]
            for words, reward in cases:
                cfg = composer.compose(words)
                assert cfg.hydra.runtime.choices.reward == reward, words
                name = cfg.reward._target_.rpartition(".")[2].lower()
                assert name == reward, words  # and what config.yaml will say
            if model in few:
                assert composer.compose([f"model={model}", "~reward"]).reward is None


@pytest.mark.parametrize(
    "words",
    [
        ["model=flux_dev", "reward=clip"],
        ["model=sd3", f"reward.path={EMOJI.parent / 'clip'}", "reward=clip"],
        ["model=sdxl", "reward=composite"],
        ["model=diffusers", "model.path=owner/name", "metrics=[clip]"],
    ],
)
def test_the_embedded_clip_scores_emoji_alone(words: list[str]) -> None:
    with pytest.raises(GlassError) as refused:
        preflight(read_arguments(words), CONF)
    line = str(refused.value)
    name = next(w for w in reversed(words) if w.startswith(("reward=", "metrics="))).strip("]")
    assert line.startswith(f"{name.replace('[', '')}: ")
    assert "has seen the pictures of model=emoji alone" in line and "reward=imagereward" in line
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["model=diffusers", f"model.path={EMOJI}", "reward=clip"],
        ["model=flux_dev", "reward=clip", "reward.path=openai/clip-vit-large-patch14"],
        ["model=flux_dev"],
        ["model=emoji", "reward=imagereward"],
    ],
)
def test_what_can_be_scored_is_let_through(words: list[str]) -> None:
    plan = preflight(read_arguments(words), CONF)
    assert plan.settings is not None and plan.settings.reward is not None


@pytest.mark.parametrize(
    ("words", "lam"),
    [
        ([], "auto"),
        (["reward=clip"], "auto"),
        (["model=gaussian_mixture"], 0.5),
        (["model=flux_dev"], "auto"),
        (["reward=python", "reward.target=my_rewards.red"], "auto"),
        (["reward=http", "reward.url=http://127.0.0.1/score"], "auto"),
        (["reward=composite"], "auto"),
        (["reward=python", "reward.target=my_rewards.red", "steering.lam=3"], 3.0),
        (["steering.lam=auto"], "auto"),
    ],
)
def test_lam_is_by_default_the_rewards(
    words: list[str], lam: float | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_rewards.py").write_text("def red(images, prompts): return images")
    settings = preflight(read_arguments(words), CONF).settings
    assert settings is not None and settings.config["steering"]["lam"] == lam
    assert settings.steering.lam == lam  # type: ignore[attr-defined]  # of FeynmanKac


@pytest.mark.parametrize("name", ["imagereward", "pickscore"])
def test_a_reward_without_a_path_follows_the_model(name: str) -> None:
    def path_of(*words: str) -> str:
        settings = preflight(read_arguments([*words, f"reward={name}"]), CONF).settings
        assert settings is not None
        assert settings.reward.path == settings.config["reward"]["path"]  # type: ignore[union-attr]
        return str(settings.config["reward"]["path"])

    published = {"imagereward": "zai-org/ImageReward", "pickscore": "yuvalkirstain/PickScore_v1"}
    assert path_of() == f"embedded:{name}"
    assert path_of("model=flux_dev") == published[name]
    assert path_of("reward.path=owner/name") == "owner/name"
    words = ["model=flux_dev", f"reward={name}", f"reward.path=embedded:{name}"]
    with pytest.raises(GlassError, match="has seen the pictures of model=emoji alone"):
        preflight(read_arguments(words), CONF)


def test_a_pipeline_is_of_emoji_by_its_decoder(tmp_path: Path) -> None:
    assert DiffusersPipeline(str(EMOJI)).world == "emoji"
    assert DiffusersPipeline("owner/name").world is None
    index = json.loads((EMOJI / "model_index.json").read_text())
    for vae in (["diffusers", "AutoencoderKL"], [], None):
        (tmp_path / "model_index.json").write_text(json.dumps({**index, "vae": vae}))
        assert DiffusersPipeline(str(tmp_path)).world is None
    (tmp_path / "model_index.json").write_text("{")
    assert DiffusersPipeline(str(tmp_path)).world is None


def test_no_prompt_of_the_training_has_an_unknown_word() -> None:
    rng = random.Random(0)
    for _ in range(3_000):
        prompt = random_prompt(training_content(rng), rng)
        assert emoji_world.unknown_words(prompt) == [], prompt


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("a wizard riding a dragon above a castle", ["wizard", "riding", "dragon", "castle"]),
        ("A Photo of TWO Benches, left of a hot dog!", []),
        ("a dog on the left of a light", ["on", "the", "light"]),  # no traffic light
        ("five red cars and 3 red cars", ["five", "3"]),
        ("la voilà: un château 雪", ["la", "voilà", "un", "château", "雪"]),
        ("...", []),
    ],
)
def test_unknown_words(prompt: str, unknown: list[str]) -> None:
    assert emoji_world.unknown_words(prompt) == unknown
    assert list(DiffusersPipeline(str(EMOJI)).unknown_words(prompt)) == unknown
    assert not DiffusersPipeline("owner/name").unknown_words(prompt)


def test_ls_model_shows_the_vocabulary() -> None:
    told = " ".join(render("model", [CONF]).split())
    assert "knows 80 things" in told and "10 colours" in told
    for word in [*CLASSES, *COLORS, "left of", "below", "four"]:
        assert f" {word}," in told or f" {word};" in told, word


def test_ls_metrics_shows_rewards_with_settings_of_their_own() -> None:
    told = render("metrics", [CONF])
    assert all(f"\n    {name}" in f"\n{told}" for name in choices("reward", [CONF]))
    example = next(line.strip() for line in told.splitlines() if "metrics='[clip, {" in line)
    word = example.replace("'", "").replace("FOLDER", "owner/name")
    plan = preflight(read_arguments([word]), CONF)
    assert plan.settings is not None and list(plan.settings.metrics) == [
        "clip",
        "pickscore",
        "hpsv2",
    ]
    with pytest.raises(GlassError, match=r"unknown group metric; did you mean metrics\?"):
        render("metric", [CONF])


def test_a_study_says_unknown_words_too(capsys: pytest.CaptureFixture[str]) -> None:
    settings = preflight(read_arguments(["benchmark=window"], config="eval"), CONF).settings
    assert settings is not None
    folder = RunFolder(Path("study"))
    for _ in range(2):  # the second time all is there
        measured_parts(settings, folder, ["a dog", "a gnu"], lambda: lambda prompt, watch: {})
    assert capsys.readouterr().err.count('these words: gnu (in "a gnu");') == 1


def test_a_run_says_unknown_words_once(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["particles=1", "sampler.transitions=1", "sampler.steps=1", "steering=none"]
    words = [*few, "reward=null", "wandb.mode=disabled", "hydra.run.dir=run"]
    prompts = "prompts=[a dog, a wizard, two zorbs, a red car, a gnu and a gnu, the sun, a moon]"
    assert launch([*words, prompts, "limit=1"]) == 0
    assert "was not trained" not in capsys.readouterr().err
    assert launch([*words, prompts]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "was not trained" in line]
    assert said == [
        'glass: warning: the model was not trained on these words: wizard (in "a wizard");'
        ' zorbs (in "two zorbs"); gnu (in "a gnu and a gnu"); and in 2 further prompts;'
        " glass ls model shows those that it knows"
    ]
    assert launch([*words, prompts]) == 0  # finished: nothing is drawn
    assert "was not trained" not in capsys.readouterr().err
