"""Options and axes of one's own on the composed space."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from dice import Dice
from torch import Tensor, nn

from nas.cost.counting import cost_of, measure
from search_spaces import Space, SpaceError, choice
from search_spaces.blocks.activations import gelu
from search_spaces.blocks.aggregation import Aggregation
from search_spaces.blocks.branches import RepVggConv
from search_spaces.blocks.cnn_block import CnnBlock
from search_spaces.blocks.convolutions import square5x5
from search_spaces.blocks.distillation import ABILITIES
from search_spaces.blocks.folding import deployed
from search_spaces.blocks.stems import square_stem
from search_spaces.blocks.tails import PixelShuffleTail, bicubic_skip
from search_spaces.blocks.transformers import TRANSFORMERS
from search_spaces.lightweight import Lightweight


class Gate(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weigh(x).sigmoid()


class Every(CnnBlock):
    """Takes whatever a block can be given."""

    convolves = attends = activates = distils = True

    def __init__(
        self, width: int, *, conv: Any, attention: Any, activation: Any, depth: int, share: float
    ) -> None:
        super().__init__()
        self.given = {"depth": depth, "share": share}
        self.steps = nn.Sequential(
            *(conv(width, width) for _ in range(depth)), activation(), attention(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.steps(x)


class Nothing(CnnBlock):
    """Takes the width alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


class Expanding(Nothing):
    def __init__(self, width: int, *, expand: int) -> None:
        super().__init__(width)
        self.conv = nn.Sequential(  # type: ignore[assignment]
            nn.Conv2d(width, width * expand, 1), nn.Conv2d(width * expand, width, 1)
        )


class Wide(nn.Conv2d):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 7, padding=3)


class OnBlueprint(RepVggConv):
    kernel = "5x5"  # a shape that had no branches before


def mirrored(blocks: int) -> list[int]:
    return [min(position, blocks - 1 - position) for position in range(blocks)]


class MyLab(
    Lightweight,
    stem={"mine": square_stem},
    block={"every": Every, "nothing": Nothing},
    attention={"gate": Gate},
    kernel={"7x7": Wide},
    branches={"on-5x5": OnBlueprint},
    activation={"tanh": nn.Tanh},
    sharing={"mirrored": mirrored},
    aggregation={"mine": Aggregation(doc="The last block's output.")},
    transformer={"again": TRANSFORMERS["channel"]},
    tail={"mine": PixelShuffleTail},
    skip={"mine": bicubic_skip},
):
    """An option on every axis that takes some."""


class Expanded(Lightweight, block={"expanding": Expanding}):
    """An axis of its own."""

    expand: int = choice(1, 3, when={"block": ("expanding",)})

    def block_settings(self) -> dict[str, Any]:
        return super().block_settings() | {"expand": self.expand}


AXES = {axis.name: axis for axis in MyLab.axes()}
OLD = {axis.name: axis for axis in Lightweight.axes()}
SMALL = {"width": 16, "blocks": 3, "sharing": "none"}


def network_of(genotype: Lightweight) -> nn.Module:
    torch.manual_seed(0)
    return genotype.build(2).eval()


def test_conditions_are_made_again() -> None:
    for axis in ABILITIES:
        assert AXES[axis].when["block"] == (*OLD[axis].when["block"], "every")
    assert AXES["branches"].when["kernel"] == (*OLD["branches"].when["kernel"], "5x5")
    assert AXES["branches"].same["asymmetric"] == ("none", {"kernel": ("blueprint", "5x5")})
    assert AXES["branches"].same["on-5x5"] == ("none", {"kernel": ("3x3", "blueprint")})
    assert AXES["sharing"].same["mirrored"] == ("all", {"blocks": (2,)})
    assert [axis.name for axis in MyLab.axes()] == list(OLD)
    assert AXES["order"] == OLD["order"] and AXES["width"] == OLD["width"]


def test_the_composed_space_stays_as_it_is() -> None:
    assert Lightweight.axes() == tuple(OLD.values())
    assert "every" not in OLD["block"].options and "every" not in Lightweight.tables["block"]
    for seed in range(50):
        old = Space(Lightweight).suggest(Dice(seed))
        same = MyLab.from_dict(old.to_dict())
        assert same.to_dict() == old.to_dict() and same.id != old.id and same != old


@pytest.mark.parametrize(
    ("choices", "part"),
    [
        ({"stem": "mine"}, nn.Conv2d),
        ({"block": "every", "depth": 2, "share": 0.5}, Every),
        ({"block": "nothing"}, Nothing),
        ({"attention": "gate"}, Gate),
        ({"kernel": "7x7"}, Wide),
        ({"kernel": "5x5", "branches": "on-5x5"}, OnBlueprint),
        ({"block": "every", "kernel": "7x7", "attention": "gate"}, Wide),
        ({"activation": "tanh"}, nn.Tanh),
        ({"aggregation": "mine"}, Lightweight),
        ({"tail": "mine", "skip": "mine"}, PixelShuffleTail),
        ({"transformers": 1, "transformer": "again"}, TRANSFORMERS["channel"]),
    ],
)
def test_each_option_is_built_counted_and_run(choices: dict[str, Any], part: type) -> None:
    genotype = MyLab(**SMALL, **choices)
    network = network_of(genotype)
    assert part is Lightweight or any(isinstance(module, part) for module in network.modules())
    assert network(torch.rand(1, 3, 12, 10)).shape == (1, 3, 24, 20)
    assert cost_of(genotype, 2) == measure(lambda: genotype.build(2), 2)
    assert MyLab.from_dict(genotype.to_dict()) == genotype == pickle.loads(pickle.dumps(genotype))


def test_branches_of_ones_own_fold() -> None:
    network = network_of(MyLab(**SMALL, kernel="5x5", branches="on-5x5"))
    x = torch.rand(1, 3, 9, 8)
    folded = deployed(network)
    assert not any(isinstance(module, OnBlueprint) for module in folded.modules())
    with torch.no_grad():
        assert torch.allclose(folded(x), network(x), atol=1e-5)


def test_sharing_of_ones_own_decides_the_weights() -> None:
    assert MyLab(**{**SMALL, "sharing": "mirrored"}).weights_of_blocks() == [0, 1, 0]
    assert len(network_of(MyLab(**{**SMALL, "sharing": "mirrored"})).blocks) == 2  # type: ignore[arg-type]


def test_a_block_without_abilities_takes_no_axis() -> None:
    genotype = MyLab(**SMALL, block="nothing")
    assert {genotype.kernel, genotype.attention, genotype.depth, genotype.activation} == {None}
    assert MyLab(**SMALL, block="nothing", kernel="7x7") == genotype


def test_an_axis_of_its_own_reaches_the_block_and_the_costs() -> None:
    one, three = (Expanded(width=16, block="expanding", expand=expand) for expand in (1, 3))
    assert one.id != three.id
    assert cost_of(three, 2) == measure(lambda: three.build(2), 2) != cost_of(one, 2)
    assert Expanded(width=16, block="rlfb").expand is None
    assert Expanded.axes()[-1].name == "expand"
    taken = {
        Space(Expanded, {"block": ("expanding",)}).suggest(Dice(seed)).to_dict()["expand"]
        for seed in range(20)
    }
    assert taken == {1, 3}


def test_a_subclass_may_be_extended_once_more() -> None:
    class Further(MyLab, block={"third": Nothing}):
        pass

    options = next(axis.options for axis in Further.axes() if axis.name == "block")
    assert options[-3:] == ("every", "nothing", "third")
    assert isinstance(next(iter(Further(width=16, block="third").build(2).blocks)), Nothing)  # type: ignore[arg-type]


def test_narrowed_to_what_is_new_it_is_a_small_space() -> None:
    only = {name: axis.options[:1] for name, axis in AXES.items()}
    assert Space(MyLab, {**only, "block": ("nothing",), "width": (16, 18)}).count() == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"blok": {"a": Nothing}}, "unknown axis that takes options: 'blok'; did you mean 'block'"),
        ({"order": {"a": gelu}}, "unknown axis that takes options: 'order'"),
        ({"width": {"a": gelu}}, "unknown axis that takes options: 'width'"),
        ({"block": {"imdb": Nothing}}, "block 'imdb' is there already"),
        ({"kernel": {"asymmetric": square5x5}}, "kernel 'asymmetric' is there already"),
        ({"block": {"": Nothing}}, "block '': an option is 1 to 40 letters"),
        ({"block": {"a,b": Nothing}}, "block 'a,b': an option is"),
        ({"block": {"1e3": Nothing}}, "neither a number"),
        ({"block": {"True": Nothing}}, "neither a number"),
        ({"block": {"none": Nothing}}, "neither a number"),
        ({"block": {7: Nothing}}, "block 7: an option is"),
        ({"block": {}}, "block = {}: a table is needed"),
        ({"block": Nothing}, "a table is needed"),
        ({"block": {"a": nn.Conv2d}}, "a subclass of search_spaces.blocks.cnn_block.CnnBlock is needed"),
        ({"block": {"a": lambda width: Nothing(width)}}, "a subclass of .*CnnBlock is needed"),
        ({"attention": {"a": "gate"}}, "attention 'a' is 'gate', and a function or a class is needed"),
        ({"branches": {"a": Wide}}, "a subclass of search_spaces.blocks.branches.Branched is needed"),
        ({"branches": {"a": type("A", (RepVggConv,), {"kernel": "9x9"})}}, "kernel is '9x9', and one of 3x3"),
        ({"aggregation": {"a": gelu}}, "an instance of search_spaces.blocks.aggregation.Aggregation"),
    ],
)
def test_what_cannot_be_an_option_is_refused_in_one_line(options: dict[str, Any], told: str) -> None:
    with pytest.raises(SpaceError, match=told) as refused:
        type("Refused", (Lightweight,), {}, **options)
    assert "\n" not in str(refused.value)
