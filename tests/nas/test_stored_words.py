"""Words that lie in databases, files and addresses, or are hashed, by value: whoever changes one loses
results.
"""

from __future__ import annotations

import dataclasses

import pytest

from leaderboard.names import RUN_NAME
from leaderboard.sources import SOURCES
from leaderboard.store import schema
from leaderboard.store.cost_forms import COST_FORMS
from leaderboard.views import VIEWS
from nas.calibration.sweep import SWEEP
from nas.executors import EXECUTORS
from nas.metrics.fidelity import METRICS
from nas.recipes.protocol import protocol_of
from nas.recipes.recipe import EMBEDDED, BudgetSection, Recipe, SpaceSection, TuneSection
from nas.recipes.tuning_fields import SETTING_SAMPLERS
from nas.samplers import SAMPLERS
from nas.training import PLANS, Plan
from nas.training.adversarial import ADVERSARIALS
from nas.training.checkpoint import STATE, WEIGHTS
from nas.training.distil import DISTILLATIONS
from nas.training.losses import LOSSES
from search_spaces import SPACES, Space, load_space
from search_spaces.named import genotype_of
from search_spaces.published import PUBLISHED


def test_the_names_that_a_run_may_have() -> None:
    assert RUN_NAME.pattern == r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"


def test_the_words_of_the_database() -> None:
    assert schema.STAGES == ("search", "seeds", "retrain")
    assert schema.STATES == ("waiting", "running", "finished", "rejected", "repeated", "failed")
    assert schema.FAILURES == ("error", "diverged", "out_of_memory", "timed_out", "worker_lost", "given_up")
    assert schema.REQUESTS == ("waiting", "taken", "done", "withdrawn", "failed")
    assert schema.COSTS == ("params", "multi_adds", "conv_multi_adds", "activations")
    assert schema.PRECISIONS == ("fp32", "tf32", "bf16", "fp16", "int8")
    assert schema.ENGINES == ("eager", "compiled", "onnxruntime")
    assert set(schema.EVENTS) == {
        *("proposed", "rejected", "repeated", "started", "rung", "finished", "failed", "released"),
        *("taken_over", "search_started", "search_ended", "joined", "left", "calibrated", "recounted"),
    }
    assert COST_FORMS == ("training", "use")


def test_the_tables_of_the_database() -> None:
    assert set(schema.TableBase.metadata.tables) == {
        *("study", "genotype", "cost", "protocol", "evaluation", "measurement", "runtime"),
        *("retrain_request", "trial", "event"),
    }


def test_the_keys_of_a_recipe() -> None:
    assert set(Recipe.model_fields) == {
        *("name", "scale", "data", "metric", "trials", "seed", "sampler", "objectives", "rungs"),
        *("seeds_for_front", "hours", "target_hypervolume", "seed_published", "warm_start", "executor"),
        *("workers", "device", "time_limit_seconds", "ray_address", "gpus_per_worker", "space", "budget"),
        *("proxy", "retrain", "tune"),
    }
    assert set(TuneSection.model_fields) == {
        *("networks", "fields", "enqueue", "steps", "trials", "seeds", "sampler"),
    }
    assert set(SETTING_SAMPLERS) >= {"tpe", "gp", "random"}
    assert set(SpaceSection.model_fields) == {"name", "only"}
    assert set(BudgetSection.model_fields) == {
        *("params", "multi_adds", "conv_multi_adds", "min_params", "min_multi_adds", "memory", "latency_ms"),
    }
    assert SWEEP == "ladder"


def test_the_words_that_a_recipe_may_hold() -> None:
    assert set(SAMPLERS) >= {"surrogate", "tpe", "evolution", "nsga2", "nsga3", "gp", "random"}
    assert set(EXECUTORS) >= {"inline", "processes", "ray"}
    assert set(METRICS) >= {"y_float", "y_uint8", "rgb"}
    assert set(PLANS) >= {
        *("quick", "short", "longer", "proxy", "steady", "full", "efrdn-full", "safmn", "gpdn", "f2srgan"),
        "esrn-proxy",
    }


def test_the_fields_of_a_plan_and_their_words() -> None:
    assert {field.name for field in dataclasses.fields(Plan)} >= {
        *("steps", "batch", "lr_patch", "lr", "lr_end", "schedule", "warmup_steps", "ema", "clip_norm"),
        *("precision", "loss", "fft_weight", "optimizer", "beta2", "weight_decay", "drop_every"),
        *("drop_factor", "distil", "distil_weight", "distil_points", "distil_dim", "quantise_bits"),
        *("adversarial", "adversarial_weight", "feature_weight", "tv_weight", "pixel_weight", "group_lasso"),
    }
    assert set(LOSSES) >= {"l1", "mse", "charbonnier", "l1_fft"}
    assert set(DISTILLATIONS) >= {"output", "at", "afd"}
    assert set(ADVERSARIALS) >= {"ragan", "rgan"}


def test_the_files_of_a_run() -> None:
    assert (WEIGHTS, STATE) == ("weights.safetensors", "state.pt")


def test_the_words_of_the_address_of_the_page() -> None:
    assert set(VIEWS) >= {
        *("front", "fronts", "benchmarks", "history", "effort", "importance", "parallel", "slices"),
        *("heatmap", "agreement", "proxies", "curves", "rejects", "timeline", "parts", "tuning"),
    }
    assert set(SOURCES) >= {"trials", "benchmarks", "curves", "events", "parts", "calibrations", "tuning"}


@pytest.mark.parametrize(
    ("word", "digest"),
    [
        ("lightweight", "75008b932c7cdefe"),
        ("published", "edc96d38c525711b"),
        ("compressed", "f3cbf4c9a3d4b349"),
        ("search_spaces.networks.efrdn:Efrdn", "5892217989051fe2"),
        ("nas.bottleneck:Choices", "f2a09a54c5413d53"),
    ],
)
def test_a_space_has_its_name_and_digest(word: str, digest: str) -> None:
    genotype = load_space(word)
    assert genotype.space == word
    assert Space(genotype).digest == digest


def test_a_space_whose_module_moved_is_found_under_its_stored_name() -> None:
    assert load_space("nas.bottleneck:Choices").__module__ == "nas.simulation.synthetic_bottleneck"
    assert load_space("nas.bottleneck") is load_space("nas.simulation.synthetic_bottleneck")
    assert load_space("nas.bottleneck:Choices")().id == "5176937fcbac"
    assert "nas.bottleneck:Choices" not in SPACES


@pytest.mark.parametrize(
    ("name", "genotype_id"),
    [
        ("imdn", "52083f4bf485"),
        ("rfdn", "9f772097d8ad"),
        ("bsrn", "a41ff806aad9"),
        ("swinir-light", "c6063511def3"),
        ("f2srgan", "617f0cbdcf46"),
        ("efrdn", "e00273494785"),
        ("paretosr-1", "575010edffdd"),
    ],
)
def test_a_published_network_has_its_id(name: str, genotype_id: str) -> None:
    assert genotype_of(name, PUBLISHED[name], 4).id == genotype_id


@pytest.mark.parametrize(("stage", "protocol_id"), [("proxy", "192eab79b3e9"), ("retrain", "d06bacbc4554")])
def test_the_default_recipe_has_its_protocols(stage: str, protocol_id: str) -> None:
    class Photos:
        digest = "0" * 16

    protocol = protocol_of(
        Photos(),  # type: ignore[arg-type]
        scale=EMBEDDED.scale,
        data=EMBEDDED.data,
        metric=EMBEDDED.metric,
        plan_name=stage,
        plan=EMBEDDED.plan(stage),  # type: ignore[arg-type]
        bicubic=(28.0, 0.8),
    )
    assert protocol.id == protocol_id
