"""Options come from the fields of models: their names, defaults and help, and what ``--set`` addresses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nas.cli import app
from nas.core.fields import fields_of, listed, words_of
from nas.errors import RecipeError
from nas.executors import EXECUTORS
from nas.metrics.fidelity import METRICS
from nas.recipes.changes import changed, parse_settings
from nas.recipes.recipe import EMBEDDED, Recipe, make_recipe, recipe_fields
from nas.samplers import SAMPLERS
from nas.training.adversarial import ADVERSARIALS
from nas.training.distil import DISTILLATIONS
from nas.training.losses import LOSSES
from nas.training.plan import NONE, NOT_ADVERSARIAL, Plan

COMMANDS = ("search", "retrain", "calibrate", "tabulate", "compress", "tune")

BLOCKED = """
import sys
sys.modules.update(dict.fromkeys(("torch", "optuna", "pandas")))
"""


def parameters(command: str) -> dict[str, object]:
    """Option -> what typer knows of it."""
    import typer

    found = typer.main.get_command(app).commands[command].with_options().params  # type: ignore[attr-defined]
    return {name: parameter for parameter in found for name in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_needs_no_torch_optuna_or_pandas(command: str) -> None:
    code = f"{BLOCKED}sys.argv = ['nas', {command!r}, '--help']\nfrom nas.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--device" in done.stdout


def test_models_of_options_are_imported_without_torch_optuna_or_pandas() -> None:
    models = ("recipes.recipe", "recipes.changes", "training.plan", "retraining.options")
    models += ("calibration.calibration_plan", "simulation.sampling", "compression.compression")
    code = BLOCKED + "".join(f"import nas.{model}\n" for model in models)
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_model_has_help_and_says_its_default(command: str) -> None:
    for name, option in parameters(command).items():
        if not name.startswith("--"):
            continue
        assert option.help, name  # type: ignore[attr-defined]
        by_hand = name in ("--set", "--db", "--data-dir", "--out", "--space", "--device", "--field", "--try")
        default, shown = option.default, option.show_default  # type: ignore[attr-defined]
        flag = getattr(option, "is_flag", False)
        assert flag or by_hand or default is not None or isinstance(shown, str), f"{command} {name}"


def test_the_defaults_of_options_are_the_models() -> None:
    shown = {name: option.show_default for name, option in parameters("search").items()}  # type: ignore[attr-defined]
    assert shown["--trials"] == "16"
    assert shown["--max-params"] == "no limit; 300k without a recipe"
    assert shown["--hours"] == "no limit"
    assert parameters("calibrate")["--wanted-tau"].default == 0.7  # type: ignore[attr-defined]
    assert parameters("compress")["--max-drop-db"].default == 0.3  # type: ignore[attr-defined]


OPTIONS = {
    "search": "name space scale max-params max-multi-adds max-conv-multi-adds max-memory max-latency-ms "
    "min-params min-multi-adds data trials hours target-hypervolume sampler objectives rungs seeds-for-front "
    "seed-published no-seed-published warm-start executor workers time-limit-seconds ray-address "
    "gpus-per-worker plan steps seed set join device runs db",
    "retrain": "top knee ids best-under init-from queued controls plan set steps workers executor evaluate "
    "no-evaluate data-dir validate-every tensorboard no-tensorboard space device ray-address runs db",
    "calibrate": "architectures seeds rungs reference reference-seeds wanted-tau ablate plan set name "
    "workers executor json device runs db",
    "tabulate": "architectures rungs seeds shard published no-published name data scale max-params "
    "max-multi-adds plan set executor workers licence data-dir out merge space device runs db",
    "tune": "networks field try steps trials seeds sampler scale max-params max-multi-adds data plan set "
    "seed hours executor workers time-limit-seconds ray-address gpus-per-worker device show json space "
    "runs db",
    "compress": "distil-from distill-from distil adversarial features adversarial-steps prune prune-of "
    "importance sparsity sparsity-steps rounds quantise quantize plan steps finetune-steps set max-drop-db "
    "data metric data-dir sets scale seed weights teacher-weights output name json space device runs db",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_option_is_lost(command: str) -> None:
    found = {name.removeprefix("--") for name in parameters(command) if name.startswith("--")}
    assert found == set(OPTIONS[command].split())


def test_help_names_the_words_of_the_tables() -> None:
    fields = recipe_fields()
    for key, table in {"sampler": SAMPLERS, "executor": EXECUTORS, "metric": METRICS}.items():
        assert listed([f"`{word}`" for word in table]) in fields[key].help.text
    words = {name: set(field.help.words) for name, field in fields_of(Plan).items()}
    assert words["loss"] == set(LOSSES)
    assert words["distil"] == {NONE, *DISTILLATIONS}
    assert words["adversarial"] == {NOT_ADVERSARIAL, *ADVERSARIALS}


def test_every_field_of_a_model_has_help() -> None:
    assert set(fields_of(Plan)) == set(Plan.__dataclass_fields__)
    sections = {"space", "budget", "proxy", "retrain", "tune"}
    assert set(fields_of(Recipe)) == set(Recipe.model_fields) - sections


@pytest.mark.parametrize(
    ("value", "words"),
    [(300_000, "300k"), (15_000_000_000, "15G"), (2400, "2400"), (0.5, "0.5"), (True, "on"), ([2, 3], "2,3")],
)
def test_values_are_written_as_on_the_command_line(value: object, words: str) -> None:
    assert words_of(value) == words


def test_settings_address_the_plan_and_sections_of_the_recipe() -> None:
    words = [
        "lr=1e-3",
        "retrain.steps=6k",
        "budget.params=300k",
        "budget.latency_ms=5",
        "space.only.width=16,24",
    ]
    words += ["space.only.kernel=3x3", "retrain.plan=steady"]
    recipe = changed(EMBEDDED, parse_settings(words))
    assert recipe.plan("proxy").lr == 1e-3
    assert (recipe.plan("retrain").steps, recipe.retrain["plan"]) == (6000, "steady")
    assert (recipe.budget.params, recipe.budget.latency_ms) == (300_000, 5.0)
    assert recipe.space.only == {"skip": ["bicubic"], "width": [16, 24], "kernel": ["3x3"]}
    assert parse_settings(["lr=1"], "retrain") == {"retrain.lr": 1.0}


def test_another_plan_or_space_discards_the_changes_of_the_old_one() -> None:
    recipe = make_recipe({"proxy": {"plan": "steady", "lr": 1e-3}, "space": {"only": {"skip": ["bicubic"]}}})
    assert changed(recipe, {"proxy.steps": 5}).proxy == {"plan": "steady", "lr": 1e-3, "steps": 5}
    assert changed(recipe, {"proxy.steps": 5, "proxy.plan": "short"}).proxy == {"plan": "short", "steps": 5}
    assert changed(recipe, {"space.name": "published"}).space.only == {}
    assert changed(recipe, {"space.name": "lightweight"}).space.only == {"skip": ["bicubic"]}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["budgt.params=3k"], "--set budgt.params=3k: unknown section 'budgt'; did you mean 'budget'?"),
        (["budget.parms=3k"], "options [budget]: unknown key 'parms'; did you mean 'params'?"),
        (["budget.params=many"], "options [budget]: params: 'many' is no count above zero"),
        (["budget.params"], "--set budget.params: write SECTION.KEY=VALUE, as budget.params=300k"),
        (["budget.params.most=3"], "write SECTION.KEY=VALUE"),
        (["proxy.step=3"], "unknown plan field 'step'; did you mean 'steps'?"),
        (["proxy.lr=fast"], "plan: lr = 'fast'; a number is needed"),
        (["proxy.plan=quik"], "options: [proxy] unknown plan 'quik'; did you mean 'quick'?"),
        (["space.only.widht=16"], "did you mean 'width'"),
        (["lr=1", "proxy.lr=2"], "--set proxy.lr=2: proxy.lr was given before"),
    ],
)
def test_a_wrong_setting_is_one_line(words: list[str], message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        changed(EMBEDDED, parse_settings(words))
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_an_option_and_the_setting_of_its_key_exclude_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nas.cli import main

    monkeypatch.chdir(tmp_path)
    words = ["nas", "search", "--max-params", "300k", "--set", "budget.params=200k"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code == 2
    assert capsys.readouterr().err == "nas: --max-params and --set budget.params: one of them\n"
